<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:import href="lib/base.xsl"/><xsl:include href="lib/common.xsl"/><xsl:template match="item"><i><xsl:apply-imports/></i></xsl:template>
</xsl:stylesheet>
