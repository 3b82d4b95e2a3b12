//! What a line of a log file says.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use playhouse_engine::Event;

#[cfg(feature = "redact")]
use super::redaction::Redaction;
use super::settings::LogFileSettings;
use crate::log_level::LogLevel;
use crate::printable::put_printable;

/// How many bytes of the name of an actor are written.
const LONGEST_NAME: usize = 256;

/// Writes events as lines.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    largest_message: usize,
    #[cfg(feature = "redact")]
    redaction: Redaction,
    /// The last second that was written, and how: most lines come within the same.
    second: (u64, String),
}

impl Entry {
    /// # Errors
    /// All that is wrong with the patterns.
    pub(super) fn new(settings: &LogFileSettings) -> Result<Self, Vec<String>> {
        Ok(Self {
            largest_message: settings.largest_message,
            #[cfg(feature = "redact")]
            redaction: Redaction::new(&settings.redact)?,
            second: (u64::MAX, String::new()),
        })
    }

    /// Adds the event's line to `text`.
    pub(super) fn put(&mut self, event: &Event, level: LogLevel, text: &mut String) {
        let now = SystemTime::now();
        self.put_time(event.created().unwrap_or(now), text);
        text.push(' ');
        text.push_str(level.as_str());
        text.push(' ');
        let attributes = event.attributes();
        let mut parts = 0;
        let mut put = |name: &str, value: &str, text: &mut String| {
            text.push_str(if parts == 0 { "" } else { ", " });
            text.push_str(name);
            text.push('=');
            put_printable(value, LONGEST_NAME, text);
            parts += 1;
        };
        let error = event.error();
        let flow = attributes.text("log.flow");
        let actor = attributes.text("log.actor");
        match (actor.as_deref().or(error.and_then(|error| error.actor())), &flow) {
            (Some(actor), _) => put("actor", actor, text),
            (None, Some(flow)) => put("flow", flow, text),
            (None, None) => {}
        }
        match (attributes.text("log.event"), &flow) {
            (Some(id), _) => put("id", &id, text),
            // A record that tells of no event.
            (None, Some(_)) => {}
            (None, None) => put("id", &event.id().to_string(), text),
        }
        text.push_str(if parts == 0 { ":: " } else { " :: " });
        let message = match error {
            Some(error) => Cow::Owned(error.to_string()),
            None => event.payload().as_text().unwrap_or_else(|_| Cow::Owned(event.payload().to_string())),
        };
        // Before it is cut: a pattern must see what it looks for whole.
        #[cfg(feature = "redact")]
        let message = self.redaction.apply(message);
        put_printable(&message, self.largest_message, text);
        text.push('\n');
    }

    fn put_time(&mut self, time: SystemTime, text: &mut String) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second.0 != since.as_secs() {
            let whole = UNIX_EPOCH + Duration::from_secs(since.as_secs());
            let written = humantime::format_rfc3339_seconds(whole).to_string();
            self.second = (since.as_secs(), written.trim_end_matches('Z').replace('T', " "));
        }
        // Writing into a string cannot fail.
        let _ = write!(text, "{},{:03}", self.second.1, since.subsec_millis());
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::Error;

    use super::*;

    fn line(settings: &LogFileSettings, event: &Event) -> String {
        let mut text = String::new();
        Entry::new(settings).unwrap().put(event, LogLevel::of(event), &mut text);
        text
    }

    fn behind_time(settings: &LogFileSettings, event: &Event) -> String {
        let line = line(settings, event);
        let (date, rest) = line.split_once(' ').unwrap();
        let (time, rest) = rest.split_once(' ').unwrap();
        assert_eq!((date.len(), time.len()), ("2015-02-13".len(), "16:56:35,850".len()), "{line}");
        let (time, millis) = time.split_once(',').unwrap();
        humantime::parse_rfc3339(&format!("{date}T{time}.{millis}Z")).unwrap();
        rest.to_owned()
    }

    #[test]
    fn records_of_the_log_and_other_events_have_their_form() {
        let settings = LogFileSettings::default();
        let event = Event::new("a\nb");
        assert_eq!(behind_time(&settings, &event), format!("INFO id={} :: a\\nb\n", event.id()));
        let record = Event::new("it fell").with_attribute("log.level", "warn").with_attribute("log.flow", "orders");
        assert_eq!(behind_time(&settings, &record), "WARN flow=orders :: it fell\n");
        let record = record.with_attribute("log.actor", "xslt").with_attribute("log.event", "17");
        assert_eq!(behind_time(&settings, &record), "WARN actor=xslt, id=17 :: it fell\n");
        let failed = Event::new("secret").with_error(Error::gone("it went"));
        assert_eq!(behind_time(&settings, &failed), format!("ERROR id={} :: it went\n", failed.id()));
        let short = LogFileSettings { largest_message: 2, ..settings };
        assert!(behind_time(&short, &Event::new("abc")).ends_with(" :: ab... (1 bytes more)\n"));
    }

    #[cfg(feature = "redact")]
    #[test]
    fn what_is_redacted_is_gone_before_the_message_is_cut() {
        let redact = vec!["(?s)secret(.*)secret".to_owned()];
        let settings = LogFileSettings { redact, largest_message: 12, ..Default::default() };
        let line = behind_time(&settings, &Event::new("secret a\nb secret"));
        assert!(line.ends_with(" :: secretREDACT... (8 bytes more)\n"), "{line}");
    }
}
