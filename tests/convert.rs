//! Runs the example `convert` as a process of its own.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread;

/// Runs the example with a word, hands it `input`, and returns what came of it.
#[track_caller]
fn run(word: &str, input: impl AsRef<[u8]>) -> Output {
    // The test runs from `target/PROFILE/deps`; cargo puts examples beside that.
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    path.push(format!("convert{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "`{}` is not built; `cargo build --examples` does that", path.display());
    let mut process = Command::new(path)
        .arg(word)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, input) = (process.stdin.take().unwrap(), input.as_ref().to_owned());
    // Beside what is read, lest both wait for each other. It may end before it has read all.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = process.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

#[track_caller]
fn converted(word: &str, input: impl AsRef<[u8]>) -> String {
    let output = run(word, input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_line_of_json_is_answered_by_one_line_in_its_place() {
    let input = b"{\"order\": {\"@id\": 7, \"line\": [\"pen\", \"ink\"]}}\n\n{\"a\": \"x\\ny\"}\n{\"a b\\n\": 1}\n[1, 2]\n\xff\n{}";
    let expected = [
        r#"<order id="7"><line>pen</line><line>ink</line></order>"#,
        "error: the payload is not JSON: EOF while parsing a value at line 1 column 0",
        "<a>x&#10;y</a>",
        r"error: `a b\n` is no name that an XML element may have",
        "<jsonified_envelope><jsonified_envelope>1</jsonified_envelope>\
         <jsonified_envelope>2</jsonified_envelope></jsonified_envelope>",
        "error: the payload is not UTF-8 text: invalid utf-8 sequence of 1 bytes from index 0",
        "<jsonified_envelope/>",
    ];
    assert_eq!(converted("json-to-xml", input).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn each_line_of_xml_is_answered_by_one_line_in_its_place() {
    let input = "<order id='7'><line>pen</line><line>ink</line></order>\n<a>\n<a>x&#10;y</a>\r\n<!DOCTYPE a><a/>\n";
    let expected = [
        r#"{"order":{"@id":"7","line":["pen","ink"]}}"#,
        "error: line 1: the document ends within an element",
        r#"{"a":"x\ny"}"#,
        "error: line 1: the document has a `DOCTYPE`, which is refused",
    ];
    assert_eq!(converted("xml-to-json", input).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn many_documents_keep_their_order() {
    let input: String = (0..5000)
        .map(|number| if number % 3 == 0 { "<\n".to_owned() } else { format!("<number>{number}</number>\n") })
        .collect();
    let output = converted("xml-to-json", input);
    assert_eq!(output.lines().count(), 5000);
    for (number, line) in output.lines().enumerate() {
        match number % 3 {
            0 => assert!(line.starts_with("error: "), "{line}"),
            _ => assert_eq!(line, format!(r#"{{"number":"{number}"}}"#)),
        }
    }
}

#[test]
fn another_word_is_an_error() {
    let output = run("yaml-to-toml", "");
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told, "Error: expected the word `json-to-xml` or `xml-to-json` (malformed)\n");
}
