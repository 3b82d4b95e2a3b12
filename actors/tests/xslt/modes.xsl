<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:template match="/"><doc><toc><xsl:apply-templates select="//order" mode="toc"/></toc><xsl:apply-templates select="//order"/></doc></xsl:template><xsl:template match="order" mode="toc"><t n="{position()}"><xsl:number value="position()" format="i"/></t></xsl:template><xsl:template match="order"><xsl:comment> <xsl:value-of select="@id"/> </xsl:comment><xsl:processing-instruction name="p">q</xsl:processing-instruction><xsl:copy-of select="item"/></xsl:template>
</xsl:stylesheet>
