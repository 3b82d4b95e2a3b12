<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:output method="html" encoding="UTF-8" doctype-public="-//W3C//DTD HTML 4.01//EN"/><xsl:template match="/"><html><head><title>Orders</title></head><body><br/><p title="{//@city}">a &lt; b</p><script>if (a &lt; b) c();</script><ul><xsl:for-each select="//item"><li><xsl:value-of select="."/></li></xsl:for-each></ul><input disabled="disabled"/></body></html></xsl:template>
</xsl:stylesheet>
