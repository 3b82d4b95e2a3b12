/*
 * What `libxml.rs` cannot say itself: variadic callbacks, which stable Rust cannot define, and fields of structs whose
 * layout only the installed headers know. No policy is decided here.
 */

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <libexslt/exslt.h>
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/tree.h>
#include <libxml/xmlerror.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>
#include <libxslt/documents.h>
#include <libxslt/imports.h>
#include <libxslt/security.h>
#include <libxslt/transform.h>
#include <libxslt/xslt.h>
#include <libxslt/xsltInternals.h>
#include <libxslt/xsltutils.h>

/* The functions of `libxml.rs` that are called from here. */
struct playhouse_callbacks {
    /* Text that libxslt reports; returns 0 if this thread runs nothing of ours. */
    int (*report)(int kind, const char *text, size_t length);
    /* An error of libxml2. */
    void (*error)(const char *file, int line, const char *text);
    /* Loads a stylesheet's module or what `document()` names. */
    xmlDocPtr (*load)(const xmlChar *uri, xmlDictPtr dict, int options, void *context, int kind);
    /* Reads all else that a parser asks for: what a schema imports, external entities. */
    xmlParserInputPtr (*read)(const char *uri, xmlParserCtxtPtr parser);
};

struct playhouse_limits {
    unsigned int depth;
    unsigned long nodes;
    /* Whether lines beyond 65,535 are told apart, which takes the field that libxslt keeps its own marks in. */
    int big_lines;
    /* Whether a DOCTYPE may stand in it, and how many elements are open, entities' included. */
    int doctype;
    unsigned int open;
    /* Out: how deep the document is, and why it was refused. */
    unsigned int deepest;
    int refused;
};

struct playhouse_output {
    const xmlChar *method;
    const xmlChar *encoding;
    const xmlChar *media_type;
};

struct playhouse_found {
    int kind;
    double number;
    size_t nodes;
    const xmlChar *text;
};

struct playhouse_handlers {
    xmlStructuredErrorFunc structured;
    void *structured_context;
    xmlGenericErrorFunc generic;
    void *generic_context;
};

enum { REPORT_TEXT, REPORT_PLACE, REPORT_OTHER };
enum { FOUND_NODES, FOUND_TEXT, FOUND_NUMBER, FOUND_BOOLEAN, FOUND_OTHER };
enum { REFUSED_DOCTYPE = 1, REFUSED_DEPTH, REFUSED_NODES };

static struct playhouse_callbacks callbacks;
static xsltSecurityPrefsPtr preferences;
static xsltDocLoaderFunc default_loader;
static xmlExternalEntityLoader default_reader;

static void report(void *context, const char *format, ...) {
    char text[4096];
    va_list arguments;
    int kind = REPORT_OTHER;
    int length;

    /* The transform has been stopped: what it still says while it unwinds is unfinished. */
    if (context != NULL && ((xsltTransformContextPtr)context)->state == XSLT_STATE_STOPPED)
        return;
    /* xsltPrintErrorContext says where ("%s: file %s ..."), then the message follows as a plain "%s". */
    if (strcmp(format, "%s") == 0)
        kind = REPORT_TEXT;
    else if (strncmp(format, "%s: ", 4) == 0 || strcmp(format, "%s\n") == 0)
        kind = REPORT_PLACE;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    if ((size_t)length >= sizeof(text))
        length = sizeof(text) - 1;
    if (callbacks.report(kind, text, (size_t)length) == 0)
        fwrite(text, 1, (size_t)length, stderr);
}

#if LIBXML_VERSION >= 21200
static void error(void *context, const xmlError *problem) {
#else
static void error(void *context, xmlErrorPtr problem) {
#endif
    (void)context;
    if (problem != NULL && problem->message != NULL && problem->level > XML_ERR_WARNING)
        callbacks.error(problem->file, problem->line, problem->message);
}

static xmlDocPtr load(const xmlChar *uri, xmlDictPtr dict, int options, void *context, xsltLoadType kind) {
    /* Nothing of ours runs on this thread: another user of libxslt in the process keeps its loader. */
    if (callbacks.report(REPORT_OTHER, "", 0) == 0)
        return default_loader(uri, dict, options, context, kind);
    return callbacks.load(uri, dict, options, context, kind);
}

static xmlParserInputPtr read_input(const char *uri, const char *id, xmlParserCtxtPtr parser) {
    if (callbacks.report(REPORT_OTHER, "", 0) == 0)
        return default_reader(uri, id, parser);
    return callbacks.read(uri, parser);
}

/* Makes what a parser reads of bytes, which are copied. */
xmlParserInputPtr playhouse_xml_input(xmlParserCtxtPtr parser, const char *uri, const char *bytes, int length) {
    xmlParserInputBufferPtr buffer = xmlParserInputBufferCreateMem(bytes, length, XML_CHAR_ENCODING_NONE);
    xmlParserInputPtr input;

    if (buffer == NULL)
        return NULL;
    input = xmlNewIOInputStream(parser, buffer, XML_CHAR_ENCODING_NONE);
    if (input == NULL) {
        xmlFreeParserInputBuffer(buffer);
        return NULL;
    }
    input->filename = (char *)xmlStrdup((const xmlChar *)uri);
    input->directory = xmlParserGetDirectory(uri);
    return input;
}

/* Initialises the libraries. MUST be called once, before all else. Returns 0 if memory is out. */
int playhouse_xml_start(const struct playhouse_callbacks *given) {
    callbacks = *given;
    xmlInitParser();
    xsltInit();
    exsltRegisterAll();
    preferences = xsltNewSecurityPrefs();
    if (preferences == NULL)
        return 0;
    /* Reading has gates of its own, which know local files alone: everything comes through `load` or `read`. */
    xsltSetSecurityPrefs(preferences, XSLT_SECPREF_WRITE_FILE, xsltSecurityForbid);
    xsltSetSecurityPrefs(preferences, XSLT_SECPREF_CREATE_DIRECTORY, xsltSecurityForbid);
    xsltSetSecurityPrefs(preferences, XSLT_SECPREF_WRITE_NETWORK, xsltSecurityForbid);
    default_loader = xsltDocDefaultLoader;
    xsltSetLoaderFunc(load);
    default_reader = xmlGetExternalEntityLoader();
    xmlSetExternalEntityLoader(read_input);
    xsltSetGenericErrorFunc(NULL, report);
    return 1;
}

/* Takes what libxml2 reports on this thread; `previous` is put back by playhouse_xml_leave. */
void playhouse_xml_enter(struct playhouse_handlers *previous) {
    previous->structured = xmlStructuredError;
    previous->structured_context = xmlStructuredErrorContext;
    previous->generic = xmlGenericError;
    previous->generic_context = xmlGenericErrorContext;
    xmlSetStructuredErrorFunc(NULL, error);
    xmlSetGenericErrorFunc(NULL, report);
}

void playhouse_xml_leave(const struct playhouse_handlers *previous) {
    xmlSetStructuredErrorFunc(previous->structured_context, previous->structured);
    xmlSetGenericErrorFunc(previous->generic_context, previous->generic);
}

static void refuse(xmlParserCtxtPtr parser, int reason) {
    ((struct playhouse_limits *)parser->_private)->refused = reason;
    parser->wellFormed = 0;
    xmlStopParser(parser);
}

static void refuse_doctype(void *context, const xmlChar *name, const xmlChar *id, const xmlChar *system) {
    (void)name;
    (void)id;
    (void)system;
    refuse(context, REFUSED_DOCTYPE);
}

static void start_element(void *context, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int namespaces,
                          const xmlChar **namespace_table, int attributes, int defaulted,
                          const xmlChar **attribute_table) {
    xmlParserCtxtPtr parser = context;
    struct playhouse_limits *limits = parser->_private;
    unsigned long nodes = 1 + (unsigned long)attributes;

    if (limits->open >= limits->depth) {
        refuse(parser, REFUSED_DEPTH);
        return;
    }
    if (nodes > limits->nodes) {
        refuse(parser, REFUSED_NODES);
        return;
    }
    limits->nodes -= nodes;
    limits->open += 1;
    if (limits->open > limits->deepest)
        limits->deepest = limits->open;
    xmlSAX2StartElementNs(context, name, prefix, uri, namespaces, namespace_table, attributes, defaulted,
                          attribute_table);
}

static void end_element(void *context, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri) {
    struct playhouse_limits *limits = ((xmlParserCtxtPtr)context)->_private;

    if (limits->open > 0)
        limits->open -= 1;
    xmlSAX2EndElementNs(context, name, prefix, uri);
}

/*
 * What an entity holds is parsed where it is first referred to, and copied wherever else: that counts as if it were
 * parsed again. It is looked at before the copy, which descends by recursion.
 */
static xmlEntityPtr get_entity(void *context, const xmlChar *name) {
    xmlParserCtxtPtr parser = context;
    struct playhouse_limits *limits = parser->_private;
    xmlEntityPtr entity = xmlSAX2GetEntity(context, name);
    xmlNodePtr node = entity == NULL ? NULL : entity->children;
    unsigned int depth = limits->open;

    while (node != NULL) {
        if (limits->nodes == 0) {
            refuse(parser, REFUSED_NODES);
            return NULL;
        }
        limits->nodes -= 1;
        if (node->type == XML_ELEMENT_NODE) {
            if (depth >= limits->depth) {
                refuse(parser, REFUSED_DEPTH);
                return NULL;
            }
            for (xmlAttrPtr attribute = node->properties; attribute != NULL && limits->nodes > 0;
                 attribute = attribute->next)
                limits->nodes -= 1;
            if (depth + 1 > limits->deepest)
                limits->deepest = depth + 1;
            if (node->children != NULL) {
                depth += 1;
                node = node->children;
                continue;
            }
        }
        while (node->next == NULL && depth > limits->open) {
            node = node->parent;
            depth -= 1;
        }
        node = node->next;
    }
    return entity;
}

/*
 * Parses under `limits`, or, where that is NULL, as something that is trusted. What a DOCTYPE names besides comes through
 * `read`.
 */
xmlDocPtr playhouse_xml_parse(const char *bytes, int length, const char *url, const char *encoding, xmlDictPtr dict,
                               struct playhouse_limits *limits) {
    /* XPath knows no CDATA sections: they are text. */
    int options = XML_PARSE_NONET | XML_PARSE_NOCDATA;
    xmlParserCtxtPtr parser = xmlNewParserCtxt();
    xmlDocPtr document;

    if (parser == NULL)
        return NULL;
    if (dict != NULL) {
        xmlDictFree(parser->dict);
        parser->dict = dict;
        xmlDictReference(dict);
    }
    if (limits != NULL) {
        options |= XML_PARSE_COMPACT;
        if (limits->big_lines)
            options |= XML_PARSE_BIG_LINES;
        parser->_private = limits;
        parser->sax->startElementNs = start_element;
        parser->sax->endElementNs = end_element;
        parser->sax->getEntity = get_entity;
        if (!limits->doctype)
            parser->sax->internalSubset = refuse_doctype;
    }
    if (limits == NULL || limits->doctype)
        options |= XML_PARSE_NOENT | XML_PARSE_DTDLOAD | XML_PARSE_DTDATTR;
    if (encoding != NULL)
        options |= XML_PARSE_IGNORE_ENC;
    document = xmlCtxtReadMemory(parser, bytes, length, url, encoding, options);
    if (document != NULL && limits != NULL && limits->refused) {
        xmlFreeDoc(document);
        document = NULL;
    }
    xmlFreeParserCtxt(parser);
    return document;
}

/* Finds what a prefix stands for where the document first declares it. */
const xmlChar *playhouse_xml_namespace(xmlDocPtr document, const xmlChar *prefix) {
    xmlNodePtr root = xmlDocGetRootElement(document);
    xmlNodePtr node = root;

    while (node != NULL) {
        if (node->type == XML_ELEMENT_NODE) {
            for (xmlNsPtr declared = node->nsDef; declared != NULL; declared = declared->next) {
                if (xmlStrEqual(declared->prefix, prefix))
                    return declared->href;
            }
            if (node->children != NULL) {
                node = node->children;
                continue;
            }
        }
        while (node != root && node->next == NULL)
            node = node->parent;
        node = node == root ? NULL : node->next;
    }
    return NULL;
}

/* Evaluates with the root element as the context; `namespaces` are prefixes and URIs in turn, ended by NULL. */
xmlXPathObjectPtr playhouse_xml_xpath_evaluate(xmlXPathCompExprPtr expression, xmlDocPtr document,
                                               unsigned long operations, const xmlChar *const *namespaces) {
    xmlXPathContextPtr context = xmlXPathNewContext(document);
    xmlXPathObjectPtr found;

    if (context == NULL)
        return NULL;
    context->node = xmlDocGetRootElement(document);
    context->opLimit = operations;
    for (; *namespaces != NULL; namespaces += 2)
        xmlXPathRegisterNs(context, namespaces[0], namespaces[1]);
    found = xmlXPathCompiledEval(expression, context);
    xmlXPathFreeContext(context);
    return found;
}

void playhouse_xml_found(xmlXPathObjectPtr found, struct playhouse_found *out) {
    out->text = NULL;
    switch (found->type) {
    case XPATH_NODESET:
        out->kind = FOUND_NODES;
        out->nodes = found->nodesetval == NULL ? 0 : (size_t)found->nodesetval->nodeNr;
        break;
    case XPATH_BOOLEAN:
        out->kind = FOUND_BOOLEAN;
        out->number = found->boolval;
        break;
    case XPATH_NUMBER:
        out->kind = FOUND_NUMBER;
        out->number = found->floatval;
        break;
    case XPATH_STRING:
        out->kind = FOUND_TEXT;
        out->text = found->stringval;
        break;
    default:
        out->kind = FOUND_OTHER;
    }
}

/* Returns a node's text, or its XML if it is an element that holds elements. The text is the caller's. */
xmlChar *playhouse_xml_found_node(xmlXPathObjectPtr found, size_t index) {
    xmlNodePtr node = found->nodesetval->nodeTab[index];
    xmlNodePtr copy;
    xmlBufferPtr buffer;
    xmlChar *text = NULL;

    if (node->type == XML_DOCUMENT_NODE)
        node = xmlDocGetRootElement((xmlDocPtr)node);
    if (node == NULL || node->type != XML_ELEMENT_NODE || xmlFirstElementChild(node) == NULL)
        return xmlXPathCastNodeToString(node);
    /* The copy declares the namespaces that it inherits. */
    copy = xmlDocCopyNode(node, node->doc, 1);
    buffer = xmlBufferCreate();
    if (copy != NULL && buffer != NULL && xmlNodeDump(buffer, node->doc, copy, 0, 0) >= 0)
        text = xmlBufferDetach(buffer);
    xmlBufferFree(buffer);
    xmlFreeNode(copy);
    return text;
}

/* Reads what `xsl:output` says, imports included. */
void playhouse_xslt_output(xsltStylesheetPtr style, struct playhouse_output *output) {
    XSLT_GET_IMPORT_PTR(output->method, style, method)
    XSLT_GET_IMPORT_PTR(output->encoding, style, encoding)
    XSLT_GET_IMPORT_PTR(output->media_type, style, mediaType)
}

/* Tells whether the stylesheet or what it imports declares a global parameter. */
int playhouse_xslt_declares(xsltStylesheetPtr style, const xmlChar *name, const xmlChar *uri) {
    for (; style != NULL; style = xsltNextImport(style)) {
        for (xsltStackElemPtr element = style->variables; element != NULL; element = element->next) {
            if (element->comp != NULL && element->comp->type == XSLT_FUNC_PARAM &&
                xmlStrEqual(element->name, name) && xmlStrEqual(element->nameURI, uri))
                return 1;
        }
    }
    return 0;
}

xsltTransformContextPtr playhouse_xslt_transform(xsltStylesheetPtr style, xmlDocPtr document, int depth,
                                                 unsigned long operations) {
    xsltTransformContextPtr transform = xsltNewTransformContext(style, document);

    if (transform == NULL)
        return NULL;
    if (xsltSetCtxtSecurityPrefs(preferences, transform) != 0) {
        xsltFreeTransformContext(transform);
        return NULL;
    }
    xsltSetTransformErrorFunc(transform, transform, report);
    transform->maxTemplateDepth = depth;
    transform->opLimit = operations;
    transform->xpathCtxt->opLimit = operations;
    return transform;
}

int playhouse_xslt_state(xsltTransformContextPtr transform) {
    return transform->state;
}

int playhouse_xml_is_html(xmlDocPtr result) {
    return result->type == XML_HTML_DOCUMENT_NODE;
}

void playhouse_xml_free(void *memory) {
    xmlFree(memory);
}
