//! How mail is taken, and how much of it. The same structure in code and in a file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a mail becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailPayload {
    /// A JSON object of its headers, texts and attachments.
    #[default]
    Json,
    /// An XML document with an element for each header, and `Body` with the text.
    Xml,
    /// Its bytes, as they came.
    Raw,
}

/// How [`SmtpSource`](crate::SmtpSource) takes mail.
///
/// ```
/// use playhouse_actors::{MailPayload, SmtpSourceSettings};
///
/// let in_code = SmtpSourceSettings { payload: MailPayload::Raw, recipients: 5, ..SmtpSourceSettings::default() };
/// let in_a_file: SmtpSourceSettings = toml::from_str("payload = 'raw'\nrecipients = 5").unwrap();
/// assert_eq!(in_code, in_a_file);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SmtpSourceSettings {
    /// What a mail becomes; JSON by default.
    pub payload: MailPayload,
    /// The name that the source gives itself; `localhost` by default.
    pub hostname: String,
    /// For whom mail is taken: `ada@example.com`, or `example.com` for all of a domain, or `*.example.com` for all under it.
    /// For anybody by default: nothing is relayed.
    pub accepts: Vec<String>,
    /// How long the flow has for a mail; 30 s by default. Later the client is told to come again.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// Whether mail is taken over TLS only; not by default.
    pub require_tls: bool,
    /// Whether mail is taken from known users only, where there are users; by default it is.
    pub require_user: bool,
    /// How many bytes a mail may have; 10 MiB by default. Beyond: 552.
    pub size: usize,
    /// How many bytes all mails may have together that are on their way in or not yet answered for; 128 MiB by default.
    /// Beyond: 452.
    pub memory: usize,
    /// How many recipients a mail may have; 100 by default. Beyond: 452, and where ten times as many come: 421.
    pub recipients: usize,
    /// How many bytes a line of a mail may have, with its end; 1,000 by default, as RFC 5321 says. Beyond: 554.
    pub line_size: usize,
    /// How many header fields a mail may have, those of its parts included; 1,000 by default. Beyond: 554.
    pub headers: usize,
    /// How many bytes the header of a mail, or of one of its parts, may have; 256 KiB by default. Beyond: 554.
    pub header_size: usize,
    /// How many parts a mail may have; 1,000 by default. Beyond: 554.
    pub parts: usize,
    /// How deep parts may lie within each other; 16 by default. Beyond: 554.
    pub depth: usize,
    /// How many bytes a command may have; 4 KiB by default. Beyond: 500.
    pub command_size: usize,
    /// How many commands of a connection may be refused; 10 by default. Beyond: 421.
    pub errors: u32,
    /// How many commands other than those of a mail that is taken a connection may give in a row; 100 by default. Beyond: 421.
    pub idle_commands: u32,
    /// How many connections may be open at once; 256 by default. Beyond: 421.
    pub connections: usize,
    /// How many of them from one address; 64 by default. Beyond: 421.
    pub connections_per_peer: usize,
    /// How long a client may take to its next command, and to read an answer; 60 s by default. Later: 421.
    #[serde(with = "humantime_serde")]
    pub command_time: Duration,
    /// How long a TLS handshake may take; 10 s by default.
    #[serde(with = "humantime_serde")]
    pub handshake_time: Duration,
    /// How long a mail may take to come in; 10 min by default. Later: 421.
    #[serde(with = "humantime_serde")]
    pub data_time: Duration,
    /// How many bytes of a mail must come in a second, measured over `rate-window`; 1 KiB by default. Slower: 421.
    pub slowest_rate: u32,
    /// Over what time that is measured; 10 s by default.
    #[serde(with = "humantime_serde")]
    pub rate_window: Duration,
    /// How long a mail that is coming in when the flow stops may take; 10 s by default.
    #[serde(with = "humantime_serde")]
    pub stop_time: Duration,
}

impl Default for SmtpSourceSettings {
    fn default() -> Self {
        Self {
            payload: MailPayload::Json,
            hostname: "localhost".to_owned(),
            accepts: Vec::new(),
            deadline: Duration::from_secs(30),
            require_tls: false,
            require_user: true,
            size: 10 << 20,
            memory: 128 << 20,
            recipients: 100,
            line_size: 1000,
            headers: 1000,
            header_size: 256 << 10,
            parts: 1000,
            depth: 16,
            command_size: 4096,
            errors: 10,
            idle_commands: 100,
            connections: 256,
            connections_per_peer: 64,
            command_time: Duration::from_secs(60),
            handshake_time: Duration::from_secs(10),
            data_time: Duration::from_secs(600),
            slowest_rate: 1024,
            rate_window: Duration::from_secs(10),
            stop_time: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_setting_is_refused() {
        let error = toml::from_str::<SmtpSourceSettings>("host = 'x'").unwrap_err();
        assert!(error.to_string().contains("unknown field `host`"), "{error}");
    }
}
