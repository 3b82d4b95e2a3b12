<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns="urn:out" xmlns:x="urn:x" exclude-result-prefixes="x">
<xsl:template match="/"><r><xsl:for-each select="//item"><i flag="{@x:flag}"><xsl:element name="y:e" namespace="urn:y"><xsl:attribute name="x:a">1</xsl:attribute></xsl:element></i></xsl:for-each></r></xsl:template>
</xsl:stylesheet>
