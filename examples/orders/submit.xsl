<?xml version="1.0" encoding="UTF-8"?>
<!-- From what a customer sends to what the executor takes. -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:template match="/order">
    <submission number="{@number}" customer="{normalize-space(customer)}">
      <xsl:for-each select="line">
        <line sku="{@sku}" quantity="{@quantity}" price="{@price}"/>
      </xsl:for-each>
    </submission>
  </xsl:template>
  <xsl:template match="/*" priority="-1">
    <xsl:message terminate="yes">expected the element `order`, found `<xsl:value-of select="name()"/>`</xsl:message>
  </xsl:template>
</xsl:stylesheet>
