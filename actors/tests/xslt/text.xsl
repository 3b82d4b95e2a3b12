<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:output method="text" encoding="UTF-8"/><xsl:template match="/"><xsl:for-each select="//item"><xsl:sort select="@price" data-type="number" order="descending"/><xsl:value-of select="concat(@sku, ';', format-number(@price, '#,##0.00'), ';', ../@city, '&#10;')"/></xsl:for-each></xsl:template>
</xsl:stylesheet>
