//! Conversions between JSON and XML, beside Python's xmltodict on the same documents.

use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use playhouse::actors::json_xml::{JsonToXmlSettings, XmlToJsonSettings, json_to_xml, xml_to_json};
use serde_json::Value;

use super::python::Python;
use crate::{Race, wanted};

/// For how long one round converts.
const ROUND: Duration = Duration::from_millis(500);

const ROUNDS: usize = 7;

/// How many documents of a size there are, how many lines each has, and what the cases of that size are called.
const SIZES: [(usize, usize, &str); 2] = [(50, 6, "1k"), (5, 600, "80k")];

/// Races ours against xmltodict, in documents a second.
///
/// # Errors
/// Where xmltodict cannot be installed or started, or both do not make the same of a document.
pub fn race() -> Result<(), Box<dyn Error>> {
    for (count, lines, size) in SIZES {
        let cases = ["xml-to-json", "json-to-xml"].map(|direction| format!("{direction}-{size}"));
        if !cases.iter().any(|case| wanted(case)) {
            continue;
        }
        let folder = tempfile::tempdir()?;
        let documents = Documents::written_to(folder.path(), count, lines)?;
        let mut python = Python::start("xmltodict_rate.py", &["xmltodict==1.0.4"], folder.path())?;
        documents.agree(&mut python)?;
        let [reading, writing] = cases;
        if wanted(&reading) {
            let race = Race::new(&*reading, "documents/s");
            let race = race.ours("", || documents.rate(&documents.xml, |xml| drop(read(xml.as_bytes()))));
            race.peer("xmltodict", || told(&mut python, "parse")).run(Duration::MAX, ROUNDS);
        }
        if wanted(&writing) {
            let race = Race::new(&*writing, "documents/s");
            let race = race.ours("", || documents.rate(&documents.json, |json| drop(write(json))));
            race.peer("xmltodict", || told(&mut python, "unparse")).run(Duration::MAX, ROUNDS);
        }
    }
    Ok(())
}

/// The same documents as XML and as JSON.
struct Documents {
    xml: Vec<String>,
    json: Vec<Value>,
}

impl Documents {
    /// Makes documents, and writes them into a folder.
    fn written_to(folder: &Path, count: usize, lines: usize) -> io::Result<Self> {
        let xml: Vec<_> = (0..count).map(|number| order(number, lines)).collect();
        let json: Vec<_> = xml.iter().map(|xml| read(xml.as_bytes())).collect();
        for (number, (xml, json)) in xml.iter().zip(&json).enumerate() {
            fs::write(folder.join(format!("{number:03}.xml")), xml)?;
            fs::write(folder.join(format!("{number:03}.json")), json.to_string())?;
        }
        Ok(Self { xml, json })
    }

    /// Makes sure that both sides do the same work.
    fn agree(&self, python: &mut Python) -> Result<(), Box<dyn Error>> {
        for (question, ours) in [("parsed", self.json[0].to_string()), ("unparsed", write(&self.json[0]))] {
            let theirs = python.ask(question)?;
            if ours != theirs {
                return Err(format!("ours is `{ours}`, and xmltodict's `{theirs}`").into());
            }
        }
        Ok(())
    }

    /// Converts the documents one after the other, and returns how many a second.
    fn rate<D>(&self, documents: &[D], convert: impl Fn(&D)) -> f64 {
        let (mut done, begin) = (0, Instant::now());
        loop {
            documents.iter().for_each(&convert);
            done += documents.len();
            let elapsed = begin.elapsed();
            if elapsed >= ROUND {
                let rate = done as f64 / elapsed.as_secs_f64();
                let size = self.xml.iter().map(String::len).sum::<usize>() as f64 / self.xml.len() as f64;
                eprintln!("  ours {:.1} MB/s of XML, {size:.0} bytes a document", rate * size / 1e6);
                return rate;
            }
        }
    }
}

/// Returns an order as XML: attributes, text, repeats, something to escape, and space between the elements.
fn order(number: usize, lines: usize) -> String {
    let line = |line: usize| {
        let (quantity, cents) = ((number + line) % 7 + 1, (number * 31 + line * 17) % 100);
        format!(
            "  <line sku=\"A{line:03}\" quantity=\"{quantity}\">\n    <name>pen &amp; ink {line}</name>\n    \
             <price currency=\"EUR\">{line}.{cents:02}</price>\n  </line>\n"
        )
    };
    let lines: String = (1..=lines).map(line).collect();
    format!(
        "<order xmlns=\"urn:orders\" number=\"{number}\">\n  <customer id=\"{number}\">\n    <name>Ada Lovelace</name>\n    \
         <street>12 St. James's Square</street>\n    <city>London</city>\n  </customer>\n{lines}  <note/>\n</order>\n"
    )
}

fn read(xml: &[u8]) -> Value {
    xml_to_json(xml, &XmlToJsonSettings::default()).expect("it is well-formed")
}

fn write(json: &Value) -> String {
    json_to_xml(json, &JsonToXmlSettings::default()).expect("it came from XML")
}

/// Returns the rate that the peer tells.
fn told(python: &mut Python, what: &str) -> f64 {
    let answer = python.ask(&format!("{what} {}", ROUND.as_secs_f64())).expect("the peer runs");
    answer.parse().expect("the peer tells a number")
}
