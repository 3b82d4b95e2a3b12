<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:param name="single"/><xsl:param name="double"/><xsl:param name="expression"/><xsl:template match="/"><p a="{$single}"><xsl:value-of select="$double"/>|<xsl:value-of select="$expression"/></p></xsl:template>
</xsl:stylesheet>
