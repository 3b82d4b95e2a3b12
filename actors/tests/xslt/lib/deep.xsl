<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:output encoding="US-ASCII"/><xsl:template match="order"><o city="{@city}"><xsl:apply-templates select="item"/></o></xsl:template>
</xsl:stylesheet>
