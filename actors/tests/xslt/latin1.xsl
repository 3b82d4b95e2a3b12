<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:output method="xml" encoding="ISO-8859-1"/><xsl:template match="/"><cities><xsl:for-each select="//order"><c><xsl:value-of select="@city"/></c></xsl:for-each></cities></xsl:template>
</xsl:stylesheet>
