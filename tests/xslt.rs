//! The xslt example as a process of its own beside xsltproc: over all the cases of `xslt/cases.txt` both write the same
//! bytes, or both fail. `scripts/install` installs xsltproc.

#![allow(clippy::unwrap_used, reason = "a test may")]
#![cfg(unix)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

const CASES: &str = include_str!("xslt/cases.txt");
const NAMESPACE: &str = "http://www.w3.org/1999/XSL/Transform";

/// A case laid out in a folder of its own, gone at the end.
struct Case {
    name: String,
    folder: PathBuf,
    input: String,
    parameters: Vec<(String, String)>,
}

impl Case {
    /// Reads a case: parts that begin with `--- ` and a word, where the sheet may be a body alone.
    fn new(text: &str) -> Self {
        let (name, rest) = text.split_once('\n').unwrap();
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("playhouse xslt {} {number}", std::process::id()));
        let mut case = Self { name: name.to_owned(), folder, input: "doc.xml".to_owned(), parameters: Vec::new() };
        case.write("doc.xml", b"<doc/>");
        case.write("s.xsl", sheet("").as_bytes());
        for part in rest.split("--- ").skip(1) {
            let (head, body) = part.split_once('\n').unwrap_or((part, ""));
            let body = body.strip_suffix('\n').unwrap_or(body);
            match head.split_once(' ').unwrap_or((head, "")) {
                ("sheet", _) => case.write("s.xsl", sheet(body).as_bytes()),
                ("whole", _) => case.write("s.xsl", body.as_bytes()),
                ("latin1", _) => {
                    case.write("s.xsl", &body.chars().map(|c| u8::try_from(c).unwrap()).collect::<Vec<_>>())
                }
                ("input", "") => case.write("doc.xml", body.as_bytes()),
                ("input", path) => {
                    case.write(path, body.as_bytes());
                    case.input = path.to_owned();
                }
                ("file", path) => case.write(path, body.as_bytes()),
                ("param", pair) => {
                    let (name, value) = pair.split_once('=').unwrap();
                    case.parameters.push((name.to_owned(), value.to_owned()));
                }
                (other, _) => panic!("`{other}` is no part of a case"),
            }
        }
        case
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn xsltproc(&self) -> Output {
        let mut command = Command::new("xsltproc");
        command.arg("--nonet").current_dir(&self.folder);
        for (name, value) in &self.parameters {
            command.args(["--stringparam", name, value]);
        }
        command.args(["s.xsl", &self.input]).output().expect("`xsltproc` runs: `scripts/install` installs it")
    }

    fn example(&self) -> Output {
        let mut command = example();
        command.current_dir(&self.folder).args(["s.xsl", &self.input]);
        for (name, value) in &self.parameters {
            command.arg("--param").arg(format!("{name}={value}"));
        }
        command.output().unwrap()
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn sheet(body: &str) -> String {
    format!(r#"<xsl:stylesheet version="1.0" xmlns:xsl="{NAMESPACE}">{body}</xsl:stylesheet>"#)
}

fn cases() -> impl Iterator<Item = Case> {
    CASES.split("=== ").skip(1).map(Case::new)
}

fn example() -> Command {
    // The test runs from `target/PROFILE/deps`; cargo puts examples beside that.
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    path.push("xslt");
    assert!(path.exists(), "`{}` is not built; `cargo build --examples` does that", path.display());
    Command::new(path)
}

/// Runs the example on one sheet and one document.
fn run(sheet: &Path, document: &Path) -> Output {
    example().args([sheet, document]).output().unwrap()
}

#[test]
fn the_bytes_are_those_of_xsltproc() {
    let mut differences = Vec::new();
    let mut compared = 0;
    for case in cases() {
        let (theirs, ours) = (case.xsltproc(), case.example());
        let errors = String::from_utf8_lossy(&ours.stderr);
        let fails = case.name.starts_with("fails") || case.name.contains("terminate");
        let same = match fails {
            true => {
                !theirs.status.success()
                    && ours.status.code() == Some(1)
                    && ours.stdout.is_empty()
                    && !ours.stderr.is_empty()
            }
            false => theirs.status.success() && ours.status.success() && theirs.stdout == ours.stdout,
        };
        compared += 1;
        if !same {
            differences.push(format!(
                "{}: {} and {}\n{}\n{}\n{errors}",
                case.name,
                theirs.status,
                ours.status,
                String::from_utf8_lossy(&theirs.stdout),
                String::from_utf8_lossy(&ours.stdout),
            ));
        }
    }
    assert!(compared > 90, "{compared}");
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn messages_and_errors_go_to_standard_error() {
    let find = |name: &str| cases().find(|case| case.name == name).unwrap().example();
    let said = |output: &Output| String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(said(&find("message")), "hello\n");
    let terminated = said(&find("message terminate"));
    assert!(terminated.starts_with("first\n") && terminated.contains("stop doc"), "{terminated}");
    assert!(said(&find("document missing")).contains("none.xml"));
    assert!(said(&find("fails: input is no xml")).contains("line 1: Opening and ending tag mismatch"));
    assert!(said(&find("fails: import is missing")).contains("none.xsl` cannot be read"));
}

#[test]
fn a_document_comes_from_standard_input_too() {
    let case = cases().find(|case| case.name == "identity").unwrap();
    let mut process = example()
        .current_dir(&case.folder)
        .args(["s.xsl", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(&std::fs::read(case.folder.join("doc.xml")).unwrap()).unwrap();
    assert_eq!(process.wait_with_output().unwrap().stdout, case.xsltproc().stdout);
}

#[test]
fn nothing_is_read_elsewhere_fetched_or_written() {
    let case = Case::new("harm\n--- sheet\n<xsl:template match=\"/\"/>");
    let outside = case.folder.join("outside.xml");
    std::fs::write(&outside, "<secret/>").unwrap();
    let inside = |name: &str| format!("inside/{name}");
    for url in ["/etc/passwd", "../outside.xml", "http://localhost:1/", "file:///etc/hostname"] {
        let body =
            format!(r#"<xsl:template match="/"><r><xsl:copy-of select="document('{url}')"/></r></xsl:template>"#);
        case.write(&inside("s.xsl"), sheet(&body).as_bytes());
        case.write(&inside("doc.xml"), b"<doc/>");
        let output = run(&case.folder.join("inside/s.xsl"), &case.folder.join("inside/doc.xml"));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "<?xml version=\"1.0\"?>\n<r/>\n", "{url}");
        assert!(!output.stderr.is_empty());
    }
    case.write(&inside("doc.xml"), b"<!DOCTYPE a [<!ENTITY e SYSTEM \"../outside.xml\">]><a>&e;</a>");
    let copy = sheet(r#"<xsl:template match="/"><xsl:copy-of select="a"/></xsl:template>"#);
    case.write(&inside("s.xsl"), copy.as_bytes());
    let output = run(&case.folder.join("inside/s.xsl"), &case.folder.join("inside/doc.xml"));
    assert!(!String::from_utf8(output.stdout).unwrap().contains("secret"));
    let write = sheet(r#"<xsl:template match="/"><x:document xmlns:x="http://exslt.org/common" href="new.xml"><a/></x:document></xsl:template>"#)
        .replace("version=\"1.0\"", "version=\"1.0\" xmlns:x=\"http://exslt.org/common\" extension-element-prefixes=\"x\"");
    case.write(&inside("s.xsl"), write.as_bytes());
    let output = run(&case.folder.join("inside/s.xsl"), &case.folder.join("inside/doc.xml"));
    assert_eq!(output.status.code(), Some(1));
    assert!(!case.folder.join("inside/new.xml").exists());
}

#[test]
fn entities_that_grow_without_end_are_refused() {
    let mut laughs = "<!DOCTYPE a [<!ENTITY e0 \"<b/>\">".to_owned();
    for level in 1..40 {
        laughs += &format!("<!ENTITY e{level} \"{}\">", format!("&e{};", level - 1).repeat(10));
    }
    laughs += "]><a>&e39;</a>";
    // Each entity is deep, and holds the one before it: read one by one none is too deep.
    let mut deep = "<!DOCTYPE a [<!ENTITY e0 \"\">".to_owned();
    for level in 1..2_000 {
        let (open, close) = ("<b>".repeat(200), "</b>".repeat(200));
        deep += &format!("<!ENTITY e{level} \"{open}&e{};{close}\">", level - 1);
    }
    let mut shallow_first = deep.clone();
    deep += "]><a>&e1999;</a>";
    shallow_first += "]><a>";
    (0..2_000).for_each(|level| shallow_first += &format!("&e{level};"));
    shallow_first += "</a>";
    for document in [laughs, deep, shallow_first] {
        let case =
            Case::new("entities\n--- sheet\n<xsl:template match=\"/\"><xsl:copy-of select=\".\"/></xsl:template>");
        case.write("doc.xml", document.as_bytes());
        let output = case.example();
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn what_is_called_wrongly_says_how_it_is_used() {
    for arguments in [&[][..], &["s.xsl"], &["s.xsl", "d.xml", "--param"], &["s.xsl", "d.xml", "--param", "x"]] {
        let case = Case::new("usage\n--- sheet\n<xsl:template match=\"/\"/>");
        std::fs::copy(case.folder.join("doc.xml"), case.folder.join("d.xml")).unwrap();
        let output = example().current_dir(&case.folder).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8(output.stderr).unwrap().contains("usage: xslt STYLESHEET INPUT|-"));
    }
}
