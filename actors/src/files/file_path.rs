//! Paths within a folder, made of an event's attributes: whatever these say, the path names a file in the folder.

use std::fmt;
use std::sync::Arc;

use playhouse_engine::{Error, Event, Result, Value};

/// The longest name that file systems take, in bytes.
const LONGEST_NAME: usize = 255;

/// A path of plain names: relative, and without `.` and `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FilePath(Arc<str>);

impl FilePath {
    /// Takes a path as somebody wrote it in the settings.
    pub(crate) fn new(path: &str) -> Result<Self> {
        match path.split('/').find_map(problem_of_name) {
            Some(problem) => Err(Error::malformed(format!("`{path}` is no path within a folder: {problem}"))),
            None => Ok(Self(path.into())),
        }
    }

    /// Makes the path of a file right in the folder, whose name came with an event.
    pub(crate) fn of_value(name: &str, value: &str) -> Result<Self> {
        check_value(name, value)?;
        match problem_of_name(value) {
            Some(problem) => Err(Error::unprocessable(format!("`{name}` is no name of a file: {problem}"))),
            None => Ok(Self(value.into())),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the names of the folders that lead to the file.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.rsplit_once('/').map(|(folders, _)| folders.split('/')).into_iter().flatten()
    }

    /// Returns the file's own name.
    pub(crate) fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A path with places for attributes, such as `uploads/{http.path.name}`.
#[derive(Clone, Debug)]
pub(crate) struct PathTemplate {
    pieces: Vec<Piece>,
    /// The path, where it is the same for all events.
    fixed: Option<FilePath>,
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    EventId,
    Attribute(String),
}

impl PathTemplate {
    pub(crate) fn new(template: &str) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut rest = template;
        let malformed = |problem| Error::malformed(format!("`{template}` is no path within a folder: {problem}"));
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else {
                return Err(malformed("a `{` without its `}`"));
            };
            if name.is_empty() || before.contains('}') || name.contains(['{', '/']) {
                return Err(malformed("expected the name of an attribute between `{` and `}`"));
            }
            pieces.push(Piece::Literal(before.to_owned()));
            pieces.push(if name == "event.id" { Piece::EventId } else { Piece::Attribute(name.to_owned()) });
            rest = after;
        }
        if rest.contains('}') {
            return Err(malformed("a `}` without its `{`"));
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        // With the shortest values that there may be, so that only what was written here is judged.
        let shortest: String = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text,
                Piece::EventId | Piece::Attribute(_) => "x",
            })
            .collect();
        let path = FilePath::new(&shortest).map_err(|error| Error::malformed(error.to_string()))?;
        let fixed = (pieces.len() == 1).then_some(path);
        Ok(Self { pieces, fixed })
    }

    /// Makes the path for an event.
    pub(crate) fn expand(&self, event: &Event) -> Result<FilePath> {
        if let Some(fixed) = &self.fixed {
            return Ok(fixed.clone());
        }
        let mut path = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => path.push_str(text),
                Piece::EventId => path.push_str(&event.id().to_string()),
                Piece::Attribute(name) => {
                    let value = match event.attribute(name) {
                        Some(Value::Text(text)) => text.to_string(),
                        Some(Value::Integer(number)) => number.to_string(),
                        Some(other) => {
                            let message = format!("expected text or a number as `{name}`, found `{other}`");
                            return Err(Error::unprocessable(message));
                        }
                        None => {
                            return Err(Error::unprocessable(format!("the path needs `{name}`, which is not there")));
                        }
                    };
                    check_value(name, &value)?;
                    path.push_str(&value);
                }
            }
        }
        match path.split('/').find_map(problem_of_name) {
            Some(problem) => Err(Error::unprocessable(format!("no file can be named so: {problem}"))),
            None => Ok(FilePath(path.into())),
        }
    }
}

/// Says what is wrong with one name of a path.
fn problem_of_name(name: &str) -> Option<String> {
    let problem = match name {
        "" => "a name in it is empty".to_owned(),
        "." | ".." => format!("`{name}` leads elsewhere"),
        name if name.len() > LONGEST_NAME => format!("a name in it is longer than {LONGEST_NAME} bytes"),
        name if name.contains(char::is_control) => "a control character is in it".to_owned(),
        _ => return None,
    };
    Some(problem)
}

/// Checks that a value that came with an event is a part of one name. One that begins with a dot would make a file that lists do
/// not show, such as `.htaccess`.
fn check_value(name: &str, value: &str) -> Result<()> {
    let problem = match value {
        "" => "it is empty",
        value if value.contains(['/', '\\']) => "a separator is in it",
        value if value.contains(char::is_control) => "a control character is in it",
        value if value.starts_with('.') => "it begins with a dot",
        _ => return Ok(()),
    };
    Err(Error::unprocessable(format!("`{name}` cannot be a part of a file's name: {problem}")))
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use playhouse_engine::Kind;
    use proptest::prelude::*;

    use super::*;

    fn named(value: &str) -> Event {
        Event::new("").with_attribute("name", value.to_owned()).with_attribute("day", 7_i64)
    }

    #[test]
    fn attributes_stand_in_a_path() {
        let template = PathTemplate::new("uploads/{day}/a-{name}.txt").unwrap();
        let path = template.expand(&named("ä b")).unwrap();
        assert_eq!(path.as_str(), "uploads/7/a-ä b.txt");
        assert_eq!((path.folders().collect::<Vec<_>>(), path.name()), (vec!["uploads", "7"], "a-ä b.txt"));
        let event = Event::new("");
        let by_id = PathTemplate::new("{event.id}").unwrap().expand(&event).unwrap();
        assert_eq!(by_id.as_str(), event.id().to_string());
        let error = template.expand(&Event::new("").with_attribute("day", 1_i64)).unwrap_err();
        assert_eq!(error.message(), "the path needs `name`, which is not there");
        let fixed = PathTemplate::new("a/b").unwrap();
        assert_eq!(fixed.expand(&event).unwrap().as_str(), "a/b");
    }

    #[test]
    fn a_template_that_leaves_its_folder_is_refused() {
        for wrong in
            ["", "/etc/passwd", "../up", "a/../b", "a//b", "a/", "./a", "a\0b", "{", "}", "{}", "{a/b}", "a}b{c}"]
        {
            let error = PathTemplate::new(wrong).unwrap_err();
            assert_eq!(error.kind(), Kind::Malformed, "{wrong}");
        }
    }

    #[test]
    fn a_value_that_is_no_part_of_a_name_is_refused() {
        let template = PathTemplate::new("u/{name}").unwrap();
        let long = "x".repeat(256);
        for wrong in ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "a\0", "a\nb", ".htaccess", &long] {
            let error = template.expand(&named(wrong)).unwrap_err();
            assert_eq!(error.kind(), Kind::Unprocessable, "{wrong}");
        }
        // Two values that are harmless alone.
        let joined = PathTemplate::new("u/.{name}").unwrap();
        assert!(joined.expand(&named("a")).is_ok());
        let json = Event::new("").with_attribute("name", serde_json::json!(["a"]));
        assert_eq!(template.expand(&json).unwrap_err().kind(), Kind::Unprocessable);
    }

    proptest! {
        #[test]
        fn whatever_a_value_says_the_file_is_in_the_folder(value in "(\\.|/|\\\\|\\PC|[\\x00-\\x1f]|~|\\.\\./){0,8}") {
            for template in ["{name}", "u/{name}", "u/.{name}", "u/{name}.{name}", "{name}/{name}/x"] {
                let template = PathTemplate::new(template).unwrap();
                if let Ok(path) = template.expand(&named(&value)) {
                    let names: Vec<_> = Path::new(path.as_str()).components().collect();
                    prop_assert!(names.iter().all(|name| matches!(name, Component::Normal(_))), "{path}");
                    // What the value adds is no folder of its own.
                    prop_assert_eq!(names.len(), template.pieces.iter().map(|piece| match piece {
                        Piece::Literal(text) => text.matches('/').count(),
                        _ => 0,
                    }).sum::<usize>() + 1);
                    prop_assert!(!path.as_str().contains('\0'));
                }
            }
        }
    }
}
