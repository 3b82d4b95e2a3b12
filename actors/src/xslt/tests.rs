//! What a stylesheet and a document may do, hostile ones first; the bytes are compared with those of `xsltproc`.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::job::{Job, Outcome};
use super::limits::Limits;
use super::output::Method;
use crate::xml::libxml::Stylesheet;
use crate::xml::report::{Failure, FailureKind};

const COPY: &str =
    r#"<xsl:template match="@*|node()"><xsl:copy><xsl:apply-templates select="@*|node()"/></xsl:copy></xsl:template>"#;

fn sheet(body: &str) -> String {
    format!(
        r#"<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
 xmlns:func="http://exslt.org/functions" xmlns:f="urn:f" xmlns:exsl="http://exslt.org/common"
 xmlns:str="http://exslt.org/strings" xmlns:math="http://exslt.org/math" xmlns:set="http://exslt.org/sets"
 xmlns:date="http://exslt.org/dates-and-times" extension-element-prefixes="func exsl str math set date" exclude-result-prefixes="f">
{body}
</xsl:stylesheet>"#
    )
}

#[track_caller]
fn job(body: &str) -> Job {
    Job::new(Stylesheet::from_text(&sheet(body)).expect("the stylesheet compiles"))
}

/// Runs as the actor does: on this stack, and on a larger one if that does not do.
fn run(job: &Job, document: &str) -> Outcome {
    let outcome = job.run(document.as_bytes(), true);
    if outcome.deeper { job.run_deep(document.as_bytes(), true) } else { outcome }
}

#[track_caller]
fn output(job: &Job, document: &str) -> String {
    String::from_utf8(run(job, document).result.expect("the transform succeeds").body.to_vec()).expect("UTF-8")
}

#[track_caller]
fn failure(job: &Job, document: &str) -> Failure {
    run(job, document).result.expect_err("the transform fails")
}

fn compile_failure(body: &str) -> String {
    Stylesheet::from_text(&sheet(body)).expect_err("the stylesheet does not compile").message
}

/// A folder of its own for each test, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("playhouse xslt {test} {}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_doctype_is_refused_before_its_entities_are_read() {
    let mut laughs = String::from("<!DOCTYPE a [<!ENTITY e0 \"ha\">");
    for level in 1..40 {
        let _ = write!(laughs, "<!ENTITY e{level} \"{}\">", format!("&e{};", level - 1).repeat(10));
    }
    laughs.push_str("]><a>&e39;</a>");
    let external = r#"<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>"#;
    let job = job(COPY);
    let started = Instant::now();
    for document in [&laughs, external, "<!DOCTYPE a><a/>", r#"<!DOCTYPE a SYSTEM "http://localhost:1/a.dtd"><a/>"#] {
        let failure = failure(&job, document);
        assert_eq!(failure.kind, FailureKind::Malformed);
        assert_eq!(failure.message, "the document has a `DOCTYPE`, which is refused");
    }
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_document_beyond_the_limits_is_refused() {
    let mut job = job(COPY);
    let deep = "<a>".repeat(100_000) + &"</a>".repeat(100_000);
    assert_eq!(failure(&job, &deep).message, "the document nests elements deeper than 256 levels");
    job.limits = Limits { depth: 2, nodes: 4, bytes: 60, ..Limits::default() };
    assert_eq!(output(&job, "<a><b x='1'/></a>"), "<?xml version=\"1.0\"?>\n<a><b x=\"1\"/></a>\n");
    for (document, expected) in [
        ("<a><b><c/></b></a>", "the document nests elements deeper than 2 levels"),
        ("<a><b x='1' y='2' z='3'/></a>", "the document has more than 4 elements and attributes"),
        ("<a><b/><b/><b/><b/></a>", "the document has more than 4 elements and attributes"),
        (&format!("<a>{}</a>", "x".repeat(60)), "the document has 67 bytes; at most 60 are allowed"),
    ] {
        let failure = failure(&job, document);
        assert_eq!((failure.kind, &*failure.message), (FailureKind::TooLarge, expected));
    }
}

#[test]
fn what_is_no_xml_is_malformed_with_line_and_reason() {
    let job = job(COPY);
    for (document, expected) in [
        ("", "the document is not well-formed XML: line 1: Document is empty"),
        ("<a>\n</b>", "the document is not well-formed XML: line 2: Opening and ending tag mismatch: a line 1 and b"),
        ("<a>&e;</a>", "the document is not well-formed XML: line 1: Entity 'e' not defined"),
        ("<a/><b/>", "the document is not well-formed XML: line 1: Extra content at the end of the document"),
    ] {
        let failure = failure(&job, document);
        assert_eq!((failure.kind, &*failure.message), (FailureKind::Malformed, expected));
    }
}

#[test]
fn text_is_utf8_whatever_its_declaration_says_and_bytes_are_as_declared() {
    let job = job(
        r#"<xsl:output encoding="UTF-8"/><xsl:template match="/"><b><xsl:value-of select="."/></b></xsl:template>"#,
    );
    let declared = "<?xml version='1.0' encoding='ISO-8859-1'?><a>é</a>";
    assert!(output(&job, declared).ends_with("<b>é</b>\n"));
    let latin: Vec<u8> = declared.chars().map(|c| c as u8).collect();
    let body = job.run(&latin, false).result.unwrap().body;
    assert!(std::str::from_utf8(&body).unwrap().ends_with("<b>é</b>\n"));
}

#[test]
fn endless_recursion_of_every_form_ends_with_an_error() {
    let deep = "<a>".repeat(250) + "<x/>" + &"</a>".repeat(250);
    let forms = [
        r#"<xsl:template match="x"><xsl:call-template name="t"/></xsl:template>
           <xsl:template name="t"><xsl:call-template name="t"/></xsl:template>"#,
        r#"<xsl:template match="x"><xsl:apply-templates select="."/></xsl:template>"#,
        // Each turn goes through the built-in rules, which libxslt does not count.
        r#"<xsl:template match="x"><xsl:apply-templates select="/"/></xsl:template>"#,
        r#"<xsl:template match="x"><xsl:variable name="v"><xsl:apply-templates select="."/></xsl:variable></xsl:template>"#,
        r#"<xsl:template match="x"><xsl:message><xsl:apply-templates select="."/></xsl:message></xsl:template>"#,
        r#"<xsl:template match="x"><b><xsl:if test="1"><xsl:copy><xsl:apply-templates select="."/></xsl:copy></xsl:if></b></xsl:template>"#,
        r#"<func:function name="f:x"><xsl:param name="p"/><func:result select="f:x($p)"/></func:function>
           <xsl:template match="x"><xsl:value-of select="f:x(1)"/></xsl:template>"#,
    ];
    for form in forms {
        for document in ["<x/>", &deep] {
            let failure = failure(&job(form), document);
            assert_eq!(failure.kind, FailureKind::Recursion, "{}", failure.message);
            assert!(failure.message.contains("templates call each other too deeply"), "{}", failure.message);
        }
    }
}

#[test]
fn recursion_within_the_limit_succeeds_however_large_the_stack_must_be() {
    let mut job = job(r#"<xsl:output method="text"/><xsl:param name="n" select="2000"/>
        <xsl:template match="/"><xsl:call-template name="t"><xsl:with-param name="n" select="$n"/></xsl:call-template></xsl:template>
        <xsl:template name="t"><xsl:param name="n"/><xsl:choose><xsl:when test="$n = 0">done</xsl:when><xsl:otherwise>
          <xsl:call-template name="t"><xsl:with-param name="n" select="$n - 1"/></xsl:call-template></xsl:otherwise></xsl:choose>
        </xsl:template>"#);
    job.limits.recursion = 20_000;
    assert_eq!(output(&job, "<a/>"), "done");
    assert!(job.run(b"<a/>", true).deeper);
    let deep = "<a>".repeat(250) + &"</a>".repeat(250);
    assert_eq!(output(&job, &deep), "done");
}

#[test]
fn endless_work_ends_with_an_error() {
    let doubling = r#"<xsl:template match="/"><xsl:call-template name="t"/></xsl:template>
        <xsl:template name="t"><xsl:param name="d" select="0"/><xsl:if test="$d &lt; 200">
        <xsl:call-template name="t"><xsl:with-param name="d" select="$d + 1"/></xsl:call-template>
        <xsl:call-template name="t"><xsl:with-param name="d" select="$d + 1"/></xsl:call-template></xsl:if></xsl:template>"#;
    let nodes = r#"<xsl:template match="/"><xsl:value-of select="count(//a[count(//a[count(//a[//a]) > 1]) > 1])"/></xsl:template>"#;
    let many = format!("<r>{}</r>", "<a/>".repeat(2_000));
    for (body, document) in [(doubling, "<a/>"), (nodes, &many)] {
        let mut job = job(body);
        job.limits.operations = 1_000_000;
        let failure = failure(&job, document);
        assert_eq!(failure.kind, FailureKind::TooLarge, "{}", failure.message);
        assert!(failure.message.ends_with("the transform takes more operations than are allowed"));
    }
}

#[test]
fn document_reads_nothing_unless_a_folder_is_allowed() {
    let folder = Folder::new("document");
    folder.write("in/a.xml", "<a>found</a>");
    folder.write("in/bad.xml", "<a>");
    folder.write("in/doctype.xml", "<!DOCTYPE a><a/>");
    folder.write("secret.xml", "<a>secret</a>");
    std::os::unix::fs::symlink(folder.0.join("secret.xml"), folder.0.join("in/link.xml")).unwrap();
    std::os::unix::fs::symlink(folder.0.join("in/a.xml"), folder.0.join("in/inner.xml")).unwrap();
    let path = folder.write(
        "in/s.xsl",
        &sheet(r#"<xsl:output method="text"/><xsl:template match="/"><xsl:value-of select="document(string(/u))"/></xsl:template>"#),
    );
    let read = |allowed: bool, url: &str| {
        let mut stylesheet = Stylesheet::from_file(&path).unwrap();
        if allowed {
            stylesheet.sources_mut().allow(&folder.0.join("in")).unwrap();
        }
        run(&Job::new(stylesheet), &format!("<u>{url}</u>")).result.map(|output| output.body)
    };
    for url in ["a.xml", "inner.xml", "../in/a.xml"] {
        assert_eq!(read(true, url).unwrap(), "found", "{url}");
    }
    let secret = folder.0.join("secret.xml");
    let secret = format!("file://{}", secret.to_str().unwrap().replace(' ', "%20"));
    let forbidden = [
        "file:///etc/passwd",
        "/etc/passwd",
        "../secret.xml",
        "link.xml",
        "none.xml",
        "/dev/zero",
        "http://localhost:1/",
        "ftp://localhost:1/",
        "%2e%2e/secret.xml",
        &secret,
        "../in",
        "file:/etc/passwd",
        "///etc/passwd",
    ];
    for url in forbidden {
        let failure = read(true, url).unwrap_err();
        assert!(matches!(failure.kind, FailureKind::Forbidden | FailureKind::Transform), "{url} {failure:?}");
        assert!(!failure.message.contains("secret</a>") && !failure.message.contains("root:"), "{url} {failure:?}");
    }
    for url in ["a.xml", "file:///etc/passwd"] {
        let failure = read(false, url).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Forbidden, "{url}");
        assert!(failure.message.ends_with("may not be read: it lies in no folder that was allowed"), "{failure:?}");
    }
    assert!(read(true, "doctype.xml").unwrap_err().message.ends_with("`DOCTYPE`, which is refused"));
    assert!(read(true, "bad.xml").is_err());
}

#[test]
fn a_stylesheet_can_look_things_up_in_itself() {
    let job = job(r#"<f:names><f:n k="1">one</f:n></f:names><xsl:output method="text"/>
        <xsl:template match="/"><xsl:value-of select="document('')//f:n[@k = 1]"/></xsl:template>"#);
    assert_eq!(output(&job, "<a/>"), "one");
}

#[test]
fn nothing_can_be_written() {
    let folder = Folder::new("write");
    let target = folder.0.join("out.xml");
    for (element, attribute) in [("exsl:document", "href"), ("xsl:document", "href")] {
        let url = target.to_str().unwrap().replace(' ', "%20");
        let body = format!(
            r#"<xsl:template match="/"><{element} {attribute}="{url}" method="xml"><a/></{element}></xsl:template>"#
        );
        let text = sheet(&body).replace(r#"version="1.0""#, r#"version="1.1""#);
        let failure = failure(&Job::new(Stylesheet::from_text(&text).unwrap()), "<a/>");
        assert_eq!(failure.kind, FailureKind::Transform, "{}", failure.message);
        assert!(!target.exists());
    }
}

#[test]
fn a_message_is_told_and_a_terminating_one_is_the_error() {
    let job = job(r#"<xsl:template match="/"><xsl:message>first<xsl:text>
line</xsl:text></xsl:message><xsl:if test="/bad"><xsl:message terminate="yes">no order: <xsl:value-of select="/bad"/></xsl:message></xsl:if>
        <xsl:message terminate="no">second</xsl:message><b/></xsl:template>"#);
    let outcome = run(&job, "<good/>");
    assert!(outcome.result.is_ok());
    assert_eq!(outcome.messages, ["first\nline", "second"]);
    let outcome = run(&job, "<bad>7</bad>");
    assert_eq!(outcome.messages, ["first\nline"]);
    let failure = outcome.result.unwrap_err();
    assert_eq!((failure.kind, &*failure.message), (FailureKind::Terminated, "no order: 7"));
}

#[test]
fn a_failing_run_names_file_line_and_reason() {
    let job = job("<xsl:template match=\"/\">\n<xsl:value-of select=\"f:none(1)\"/></xsl:template>");
    let failure = failure(&job, "<a/>");
    assert_eq!(failure.kind, FailureKind::Transform);
    assert_eq!(failure.message, "`stylesheet` line 6: XPath evaluation returned no result. (function none not found)");
}

#[test]
fn a_stylesheet_that_does_not_compile_names_file_line_and_reason() {
    assert_eq!(
        compile_failure("<xsl:template match=\"/\">\n<xsl:value-of select=\"1 +\"/></xsl:template>"),
        "`stylesheet` line 6: xsl:value-of : could not compile select expression '1 +' (Invalid expression)"
    );
    assert_eq!(
        Stylesheet::from_text("<a>\n<b></a>").unwrap_err().message,
        "`stylesheet` line 2: Opening and ending tag mismatch: b line 2 and a"
    );
    let folder = Folder::new("compile");
    folder.write("lib/common.xsl", &sheet("\n\n<xsl:template match='['/>"));
    let main = folder.write("main.xsl", &sheet("<xsl:import href='lib/common.xsl'/>"));
    let message = Stylesheet::from_file(&main).unwrap_err().message;
    assert!(message.starts_with(&format!("`{}` line 7: ", folder.0.join("lib/common.xsl").display())), "{message}");
    let missing = folder.write("missing.xsl", &sheet("<xsl:include href='none.xsl'/>"));
    let message = Stylesheet::from_file(&missing).unwrap_err().message;
    assert!(
        message.contains("missing.xsl` line 5: ") && message.contains("none.xsl` cannot be read: No such file"),
        "{message}"
    );
    assert!(compile_failure("<xsl:import href='a.xsl'/>").contains("`a.xsl` is no absolute path"));
    assert!(compile_failure("<xsl:import href='http://localhost:1/a.xsl'/>").contains("is no absolute path"));
    assert!(compile_failure("<xsl:output method='f:pdf'/>").contains("`pdf`; expected `xml`, `html` or `text`"));
    assert!(compile_failure("<xsl:output encoding='klingon'/>").contains("encoding `klingon`, which is not known"));
    assert!(
        Stylesheet::from_file(Path::new("/none.xsl")).unwrap_err().message.starts_with("`/none.xsl` cannot be read")
    );
}

#[test]
fn what_libxslt_puts_up_with_is_a_warning() {
    let warning = |body| job(body).stylesheet.warning().map(str::to_owned);
    assert_eq!(warning("<xsl:template match='/'/>"), None);
    assert_eq!(
        warning("<xsl:output method='pdf'/>").as_deref(),
        Some("`stylesheet` line 5: invalid value for method: pdf")
    );
}

#[test]
fn parameters_are_strings_and_must_be_declared() {
    let mut job = job(r#"<xsl:output method="text"/><xsl:param name="p" select="'default'"/><xsl:param name="f:q"/>
        <xsl:template match="/"><xsl:value-of select="concat($p, '|', $f:q)"/></xsl:template>"#);
    assert_eq!(output(&job, "<a/>"), "default|");
    for value in ["1 + 1", "it's", "say \"hi\"", "it's \"both\"", "", "é"] {
        job.parameters =
            vec![job.stylesheet.parameter("p", value).unwrap(), job.stylesheet.parameter("{urn:f}q", value).unwrap()];
        assert_eq!(output(&job, "<a/>"), format!("{value}|{value}"));
    }
    let refused = job.stylesheet.parameter("q", "1").unwrap_err();
    assert_eq!(refused.message, "the stylesheet declares no parameter `q`");
    assert!(job.stylesheet.parameter("p", "a\0b").is_err());
}

#[test]
fn the_method_comes_from_the_stylesheet_or_from_the_result() {
    for (body, expected) in [
        (r#"<xsl:template match="/"><html><br/></html></xsl:template>"#, Method::Html),
        (r#"<xsl:template match="/"><a/></xsl:template>"#, Method::Xml),
        (r#"<xsl:output method="text"/><xsl:template match="/"/>"#, Method::Text),
    ] {
        let job = job(body);
        assert_eq!(job.run(b"<a/>", true).result.unwrap().method, expected);
    }
}

#[test]
fn exslt_is_there() {
    let job = job(
        r#"<xsl:output method="text"/><func:function name="f:twice"><xsl:param name="n"/><func:result select="$n * 2"/></func:function>
        <xsl:template match="/"><xsl:variable name="rtf"><i>3</i><i>9</i><i>9</i></xsl:variable>
        <xsl:value-of select="concat(math:max(exsl:node-set($rtf)/i), ' ', count(set:distinct(exsl:node-set($rtf)/i)), ' ',
            str:replace('abc', 'b', '-'), ' ', date:year('2026-01-02'), ' ', f:twice(21))"/></xsl:template>"#,
    );
    assert_eq!(output(&job, "<a/>"), "9 2 a-c 2026 42");
}

#[test]
fn one_stylesheet_serves_many_threads_at_once() {
    let job = job(
        r#"<xsl:key name="k" match="i" use="@g"/><xsl:strip-space elements="*"/><xsl:output omit-xml-declaration="yes"/>
        <func:function name="f:x"><xsl:param name="n"/><func:result select="concat('g', $n)"/></func:function>
        <xsl:template match="/"><r id="{generate-id(.) != ''}"><xsl:for-each select="//i[generate-id() = generate-id(key('k', @g)[1])]">
        <g n="{f:x(@g)}"><xsl:value-of select="sum(key('k', @g))"/></g></xsl:for-each></r></xsl:template>"#,
    );
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let job = &job;
            scope.spawn(move || {
                for turn in 0..2_000 {
                    let document = format!("<r> <i g='a'>{thread}</i> <i g='b'>1</i> <i g='a'>{turn}</i> </r>");
                    let expected = format!("<r id=\"true\"><g n=\"ga\">{}</g><g n=\"gb\">1</g></r>\n", thread + turn);
                    assert_eq!(output(job, &document), expected);
                    if turn % 100 == 0 {
                        assert!(Stylesheet::from_text("<no/>").is_err());
                    }
                }
            });
        }
    });
}
