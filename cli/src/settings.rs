//! The file of `playhouse broker --settings`.

use std::path::Path;

use playhouse::mdp::protocol::BrokerSettings;
use playhouse::mdp::titanic::TitanicSettings;
use playhouse::mdp::transport::SocketSettings;
use playhouse::{Error, Result};
use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

/// The times and limits of a broker, of its socket, and of its durable requests.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) broker: BrokerSettings,
    pub(crate) socket: SocketSettings,
    pub(crate) titanic: TitanicSettings,
}

impl Settings {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// `Unavailable` where it cannot be read, `Malformed` with all that is wrong with what it says, each with its line.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::unavailable(format!("`{shown}` cannot be read")).caused_by(error))?;
        Self::parse(&text).map_err(|problems| Error::malformed(format!("`{shown}`: {}", problems.join("; "))))
    }

    fn parse(text: &str) -> Result<Self, Vec<String>> {
        let line = |start: usize| text[..start.min(text.len())].matches('\n').count() + 1;
        let table = DeTable::parse(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            vec![format!("line {}: {}", line(start), error.message())]
        })?;
        let mut problems = Vec::new();
        try_each(table.get_ref(), &mut Vec::new(), &mut |start, path, problem| {
            problems.push(format!("line {}: `{}`: {problem}", line(start), path.join(".")));
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        toml::from_str(text).map_err(|error| vec![error.message().to_owned()])
    }
}

/// Reads each setting as if it stood alone, which each may, so that one mistake does not hide the next.
fn try_each(table: &DeTable<'_>, path: &mut Vec<String>, wrong: &mut impl FnMut(usize, &[String], String)) {
    for (name, value) in table {
        path.push(name.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => try_each(inner, path, wrong),
            _ if path.as_slice() == ["broker", "durable"] => {
                wrong(name.span().start, path, "expected `--durable DIR` on the command line instead".to_owned());
            }
            _ => {
                if let Err(problem) = try_alone(path, value) {
                    wrong(name.span().start, path, problem);
                }
            }
        }
        path.pop();
    }
}

fn try_alone(path: &[String], value: &Spanned<DeValue<'_>>) -> Result<(), String> {
    let message = |error: toml::de::Error| error.message().to_owned();
    let value = Value::deserialize(toml::de::ValueDeserializer::from(value.clone())).map_err(message)?;
    let nest = |inner, name: &String| Value::Table(Table::from_iter([(name.clone(), inner)]));
    let alone = path.iter().rev().fold(value, nest);
    alone.try_into::<Settings>().map(drop).map_err(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_told_with_its_line() {
        let text = "[broker]\nexpiri = '3s'\nheartbeat = 5\nattempts = 4\ndurable = true\n\n[broker.limits]\nframes = -1\n\n\
                    [nonsense]\na = 1\n";
        let problems = Settings::parse(text).unwrap_err();
        let begins = [
            "line 3: `broker.heartbeat`: invalid type: integer `5`",
            "line 5: `broker.durable`: expected `--durable DIR`",
            "line 2: `broker.expiri`: unknown field `expiri`, expected one of `heartbeat`, ",
            "line 8: `broker.limits.frames`: ",
            "line 11: `nonsense.a`: unknown field `nonsense`, expected one of `broker`, `socket`, `titanic`",
        ];
        for begin in begins {
            assert!(problems.iter().any(|problem| problem.starts_with(begin)), "{begin}: {problems:#?}");
        }
        assert_eq!(problems.len(), begins.len(), "{problems:#?}");
        let problems = Settings::parse("[broker]\n[broker\n").unwrap_err();
        assert!(problems[0].starts_with("line 2: "), "{problems:?}");
    }

    #[test]
    fn what_is_right_is_read() {
        let settings = Settings::parse("[broker]\nexpiry = '3s'\n[broker.limits]\nframes = 8\n[titanic]\n").unwrap();
        assert_eq!((settings.broker.expiry.as_secs(), settings.broker.limits.frames), (3, 8));
    }
}
