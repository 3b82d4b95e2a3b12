<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:output method="xml" encoding="UTF-16"/><xsl:template match="/"><c><xsl:value-of select="//@city"/></c></xsl:template>
</xsl:stylesheet>
