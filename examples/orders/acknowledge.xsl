<?xml version="1.0" encoding="UTF-8"?>
<!-- From what the executor gives to what a customer gets. -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:template match="/execution">
    <acknowledgement>
      <number><xsl:value-of select="@number"/></number>
      <customer><xsl:value-of select="@customer"/></customer>
      <lines><xsl:value-of select="@lines"/></lines>
      <total><xsl:value-of select="@total"/></total>
    </acknowledgement>
  </xsl:template>
</xsl:stylesheet>
