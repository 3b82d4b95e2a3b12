<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:import href="deep.xsl"/><xsl:template match="item">base:<xsl:value-of select="@sku"/></xsl:template>
</xsl:stylesheet>
