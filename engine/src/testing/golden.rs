//! What came out of a flow, compared with a file.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::event::Event;
use crate::payload::Payload;
use crate::testing::Output;

/// Set to anything but nothing, it makes [`golden`] write its files anew.
const BLESS: &str = "PLAYHOUSE_BLESS";

/// What can be compared with a golden file: outputs of a handler, events, or any JSON value.
pub trait Golden {
    /// Returns it as JSON, without what is another in each run, such as ids and times.
    fn golden(&self) -> Value;
}

impl Golden for Value {
    fn golden(&self) -> Value {
        self.clone()
    }
}

impl Golden for Event {
    fn golden(&self) -> Value {
        let mut whole = Map::new();
        whole.insert("format".to_owned(), self.payload().format().to_string().into());
        whole.insert("payload".to_owned(), payload(self.payload()));
        let mut attributes = Vec::new();
        self.attributes().each(|name, value| {
            attributes.push((name.to_owned(), serde_json::to_value(value).unwrap_or(Value::Null)));
        });
        if !attributes.is_empty() {
            // A layer may show them in another order each time.
            attributes.sort_by(|(one, _), (other, _)| one.cmp(other));
            whole.insert("attributes".to_owned(), Value::Object(attributes.into_iter().collect()));
        }
        if let Some(error) = self.error() {
            let mut members = Map::new();
            members.insert("kind".to_owned(), error.kind().as_str().into());
            members.insert("message".to_owned(), error.to_string().into());
            members.insert("actor".to_owned(), error.actor().into());
            whole.insert("error".to_owned(), members.into());
        }
        whole.into()
    }
}

impl Golden for Output {
    fn golden(&self) -> Value {
        let mut whole = Map::new();
        whole.insert("outbox".to_owned(), self.outbox.as_str().into());
        if let Value::Object(event) = self.event.golden() {
            whole.extend(event);
        }
        whole.into()
    }
}

impl<T: Golden> Golden for [T] {
    fn golden(&self) -> Value {
        self.iter().map(Golden::golden).collect()
    }
}

impl<T: Golden> Golden for Vec<T> {
    fn golden(&self) -> Value {
        self.as_slice().golden()
    }
}

/// Compares `found` with the golden file at `path`, as seen from the package's folder. With `PLAYHOUSE_BLESS=1` in the
/// environment it writes the file instead.
///
/// The file is JSON. Of an event it holds the payload, the attributes and the error; ids, times and deadlines are left out, for
/// they are others in each run.
///
/// ```
/// use playhouse_engine::testing::{feed, golden};
/// use playhouse_engine::{Event, map};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("golden-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("upper.json");
/// # std::fs::write(&path, "[\n  {\n    \"outbox\": \"outbox\",\n    \"format\": \"text\",\n    \"payload\": \"ADA\"\n  }\n]\n")?;
/// let upper = map(|event: &Event| event.derive(event.payload().to_string().to_uppercase()));
/// let outputs = feed(&upper, Event::new("ada")).await?;
/// golden(&path, &outputs); // path: "tests/golden/upper.json"
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// Where the file is not there, or says something else: with the lines that differ.
#[track_caller]
pub fn golden(path: impl AsRef<Path>, found: &(impl Golden + ?Sized)) {
    let path = path.as_ref();
    let mut text = serde_json::to_string_pretty(&found.golden()).unwrap_or_default();
    text.push('\n');
    compare(path, &text, env::var_os(BLESS).is_some_and(|value| !value.is_empty()));
}

/// Does what [`golden`] does, with text of any kind.
///
/// # Panics
/// As [`golden`].
#[track_caller]
pub fn golden_text(path: impl AsRef<Path>, found: &str) {
    compare(path.as_ref(), found, env::var_os(BLESS).is_some_and(|value| !value.is_empty()));
}

#[track_caller]
fn compare(path: &Path, found: &str, bless: bool) {
    let shown = path.display();
    if bless {
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, found));
        if let Err(error) = written {
            panic!("`{shown}` cannot be written: {error}");
        }
        return;
    }
    // A checkout may have other ends of lines.
    match fs::read_to_string(path).map(|expected| expected.replace("\r\n", "\n")) {
        Ok(expected) if expected == found => {}
        Ok(expected) => panic!(
            "`{shown}` differs from what was found (`-` stands in the file, `+` was found; `{BLESS}=1` writes it anew)\n{}",
            difference(&expected, found)
        ),
        Err(error) => panic!("`{shown}` cannot be read: {error}; `{BLESS}=1` writes it"),
    }
}

fn payload(payload: &Payload) -> Value {
    match payload {
        Payload::Empty => Value::Null,
        Payload::Json(value) => (**value).clone(),
        other => match other.as_text() {
            Ok(text) => Value::String(text.into_owned()),
            Err(_) => Value::String(other.to_bytes().iter().fold(String::from("0x"), |mut digits, byte| {
                let _ = write!(digits, "{byte:02x}");
                digits
            })),
        },
    }
}

/// Returns the lines that differ, with up to three around them.
fn difference(old: &str, new: &str) -> String {
    /// Of more lines than this, that differ, no lines in common are looked for.
    const MOST: usize = 2_000;
    const AROUND: usize = 3;
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let begin = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    let rest = old[begin..].iter().rev().zip(new[begin..].iter().rev());
    let end = rest.take_while(|(one, other)| one == other).count();
    let (gone, come) = (&old[begin..old.len() - end], &new[begin..new.len() - end]);
    let mut lines: Vec<(char, &str)> = old[..begin].iter().map(|line| (' ', *line)).collect();
    if gone.len() <= MOST && come.len() <= MOST {
        lines.extend(edits(gone, come));
    } else {
        lines.extend(gone.iter().map(|line| ('-', *line)));
        lines.extend(come.iter().map(|line| ('+', *line)));
    }
    lines.extend(old[old.len() - end..].iter().map(|line| (' ', *line)));
    let mut text = String::new();
    let mut last = None;
    for (number, (mark, line)) in lines.iter().enumerate() {
        let near = lines[number.saturating_sub(AROUND)..lines.len().min(number + AROUND + 1)].iter();
        if near.clone().any(|(mark, _)| *mark != ' ') {
            if last.map_or(number > 0, |last: usize| last + 1 < number) {
                text.push_str("  ...\n");
            }
            let _ = writeln!(text, "{mark} {line}");
            last = Some(number);
        }
    }
    if last.is_none() {
        text.push_str("  (they differ in the end of the last line alone)\n");
    }
    text
}

/// Returns the shortest way from one list of lines to the other.
fn edits<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    // How many lines the rests from here on have in common.
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for one in (0..old.len()).rev() {
        for other in (0..new.len()).rev() {
            common[one][other] = match old[one] == new[other] {
                true => common[one + 1][other + 1] + 1,
                false => common[one + 1][other].max(common[one][other + 1]),
            };
        }
    }
    let (mut one, mut other) = (0, 0);
    let mut lines = Vec::new();
    while one < old.len() || other < new.len() {
        if one < old.len() && other < new.len() && old[one] == new[other] {
            lines.push((' ', old[one]));
            (one, other) = (one + 1, other + 1);
        } else if one < old.len() && (other == new.len() || common[one + 1][other] >= common[one][other + 1]) {
            lines.push(('-', old[one]));
            one += 1;
        } else {
            lines.push(('+', new[other]));
            other += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use serde_json::json;

    use super::*;
    use crate::error::Error;

    #[test]
    fn the_lines_that_differ_are_shown_among_their_neighbours() {
        let old: String = (0..20).map(|number| format!("{number}\n")).collect();
        let new = old.replace("\n10\n", "\nten\n").replace("\n12\n", "\n12\nmore\n");
        let expected = "  ...\n  7\n  8\n  9\n- 10\n+ ten\n  11\n  12\n+ more\n  13\n  14\n  15\n";
        assert_eq!(difference(&old, &new), expected);
    }

    #[test]
    fn what_is_another_in_each_run_is_left_out() {
        let event = Event::new(vec![0xff]).with_attribute("b", "2").with_attribute("a", 1_i64);
        let event = event.with_error(Error::gone("sold out"));
        assert_eq!(
            event.golden(),
            json!({
                "format": "bytes", "payload": "0xff", "attributes": {"a": 1, "b": "2"},
                "error": {"kind": "gone", "message": "sold out", "actor": null},
            })
        );
    }

    #[test]
    fn a_file_is_written_when_that_is_asked_for_and_else_compared() {
        let folder = env::temp_dir().join(format!("playhouse-golden-{}", std::process::id()));
        let path = folder.join("deep/file.json");
        let problem = |found: &'static str| {
            let path = path.clone();
            let panic = catch_unwind(move || compare(&path, found, false)).err()?;
            panic.downcast::<String>().ok().map(|message| *message)
        };
        assert!(problem("a\n").unwrap().contains("cannot be read"));
        compare(&path, "a\n", true);
        assert_eq!(problem("a\n"), None);
        assert!(problem("b\n").unwrap().ends_with("- a\n+ b\n"));
        fs::remove_dir_all(folder).unwrap();
    }
}
