<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:output indent="yes"/><xsl:key name="by-city" match="order" use="@city"/><xsl:template match="/orders"><cities><xsl:for-each select="order[generate-id() = generate-id(key('by-city', @city)[1])]"><xsl:sort select="@city"/><city name="{@city}" orders="{count(key('by-city', @city))}" sum="{sum(key('by-city', @city)/item/@price)}"/></xsl:for-each></cities></xsl:template>
</xsl:stylesheet>
