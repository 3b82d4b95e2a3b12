//! Events into the process's log.

use std::fmt::Write;

use playhouse_engine::{Context, Event, Format, Light, Outbox, Ports, Result};
use serde::{Deserialize, Serialize};
use tracing::{Level, debug, enabled, error, info, trace, warn};

use crate::log_level::LogLevel;
use crate::printable::put_printable;
use crate::whole_event::whole;

/// Logs each event through `tracing`, and passes it on.
///
/// A line shows what `show` names, each as `name=value`; the payload alone, where it is all that is shown, stands without its name.
/// Characters that control a terminal are escaped, and what is long is cut. The actor's name and the event's id are fields of
/// their own. Where nobody listens at that level, nothing is written out, and an event costs next to nothing.
///
/// # Ports
/// Inbox: `inbox`, for any format. Outbox: `outbox`, with the event as it came; it may stay unconnected.
///
/// # Settings
/// | name | default | meaning |
/// |---|---|---|
/// | `level` | `info` | the level: `trace`, `debug`, `info`, `warn` or `error` |
/// | `prefix` | nothing | what stands before all else |
/// | `show` | `data` | what is shown: `data` is the payload, `error` the error where there is one, all else an attribute of that name |
/// | `whole-event` | `false` | whether the event is shown whole, as JSON, with any credentials among its attributes, in place of `show` |
/// | `largest` | 4 KiB | how many bytes of each value are shown |
///
/// # Errors
/// None of its own.
///
/// # Example
/// ```
/// use playhouse_actors::{LogEvents, LogEventsSettings, LogLevel};
///
/// let payloads = LogEvents::default();
/// let show = vec!["http.path".to_owned(), "error".to_owned()];
/// let failures = LogEvents::new(LogEventsSettings { level: LogLevel::Warn, show, ..LogEventsSettings::default() });
/// ```
#[derive(Debug, Default)]
pub struct LogEvents {
    settings: LogEventsSettings,
    name: String,
}

/// How [`LogEvents`] logs an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogEventsSettings {
    /// The level; `info` by default.
    pub level: LogLevel,
    /// What stands before all else; nothing by default.
    pub prefix: String,
    /// What is shown: `data` is the payload, `error` the error, all else an attribute of that name. The payload by default.
    pub show: Vec<String>,
    /// Whether the event is shown whole, as JSON, with any credentials among its attributes; not by default.
    pub whole_event: bool,
    /// How many bytes of each value are shown; 4 KiB by default.
    pub largest: usize,
}

impl Default for LogEventsSettings {
    fn default() -> Self {
        let show = vec!["data".to_owned()];
        Self { level: LogLevel::default(), prefix: String::new(), show, whole_event: false, largest: 4096 }
    }
}

impl LogEvents {
    /// Makes an actor that logs as `settings` say.
    #[must_use]
    pub fn new(settings: LogEventsSettings) -> Self {
        Self { settings, name: String::new() }
    }

    fn line(&self, event: &Event) -> String {
        let LogEventsSettings { prefix, show, whole_event, largest, .. } = &self.settings;
        let mut line = prefix.clone();
        if *whole_event {
            put_printable(&whole(event).to_string(), *largest, &mut line);
            return line;
        }
        for (number, name) in show.iter().enumerate() {
            let value = match name.as_str() {
                "data" => Some(event.payload().to_string()),
                "error" => event.error().map(ToString::to_string),
                name => event.attribute(name).map(|value| value.to_string()),
            };
            let Some(value) = value else { continue };
            if number > 0 {
                line.push(' ');
            }
            if show.len() > 1 || name != "data" {
                // Writing into a string cannot fail.
                let _ = write!(line, "{name}=");
            }
            put_printable(&value, *largest, &mut line);
        }
        line
    }
}

impl Light for LogEvents {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY).with_optional_outbox("outbox", Format::ANY)
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        context.name().clone_into(&mut self.name);
        Ok(())
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let (actor, id) = (&*self.name, event.id());
        // A macro's level is a constant, so there is one for each.
        match self.settings.level {
            LogLevel::Trace if enabled!(Level::TRACE) => trace!(actor, event = %id, "{}", self.line(event)),
            LogLevel::Debug if enabled!(Level::DEBUG) => debug!(actor, event = %id, "{}", self.line(event)),
            LogLevel::Info if enabled!(Level::INFO) => info!(actor, event = %id, "{}", self.line(event)),
            LogLevel::Warn if enabled!(Level::WARN) => warn!(actor, event = %id, "{}", self.line(event)),
            LogLevel::Error if enabled!(Level::ERROR) => error!(actor, event = %id, "{}", self.line(event)),
            _ => {}
        }
        out.push(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use playhouse_engine::{Error, testing};
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Metadata, Subscriber};

    use super::*;

    /// Keeps what is logged at `info` and above, as its level and its fields.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Kept {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::INFO
        }

        fn event(&self, event: &tracing::Event<'_>) {
            struct Fields(String);

            impl Visit for Fields {
                fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                    let _ = write!(self.0, " {field}={value:?}");
                }
            }

            let mut fields = Fields(event.metadata().level().to_string());
            event.record(&mut fields);
            self.0.lock().unwrap().push(fields.0);
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    fn line(settings: LogEventsSettings, event: &Event) -> String {
        LogEvents::new(settings).line(event)
    }

    fn showing(show: &[&str]) -> LogEventsSettings {
        LogEventsSettings { show: show.iter().map(|name| (*name).to_owned()).collect(), ..Default::default() }
    }

    #[test]
    fn what_is_named_is_shown_on_one_line() {
        let event = Event::new("a\nb").with_attribute("colour", "red\u{1b}").with_error(Error::gone("it went"));
        assert_eq!(line(LogEventsSettings { prefix: "in: ".into(), ..Default::default() }, &event), "in: a\\nb");
        assert_eq!(line(showing(&["colour", "none", "error"]), &event), "colour=red\\u{1b} error=it went");
        assert_eq!(line(LogEventsSettings { largest: 1, ..showing(&["data"]) }, &event), "a... (2 bytes more)");
        let whole = line(LogEventsSettings { whole_event: true, ..Default::default() }, &event);
        assert!(whole.contains(r#""colour":"red\u001b""#) && !whole.contains('\n'), "{whole}");
    }

    #[tokio::test]
    async fn an_event_is_logged_at_its_level_and_passed_on() {
        let kept = Kept::default();
        let _guard = tracing::subscriber::set_default(kept.clone());
        let event = Event::new("a\nb");
        for level in [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error] {
            let actor = LogEvents::new(LogEventsSettings { level, ..Default::default() });
            let outputs = testing::feed(&actor, event.clone()).await.unwrap();
            assert_eq!(outputs[0].event.id(), event.id());
        }
        let line = |level: &str| format!(r#"{level} message=a\nb actor="" event={}"#, event.id());
        assert_eq!(*kept.0.lock().unwrap(), ["INFO", "WARN", "ERROR"].map(line));
    }

    #[test]
    fn settings_read_from_a_file() {
        let settings: LogEventsSettings = toml::from_str("level = 'warn'\nshow = ['error']").unwrap();
        assert_eq!((settings.level, settings.show.len()), (LogLevel::Warn, 1));
    }
}
