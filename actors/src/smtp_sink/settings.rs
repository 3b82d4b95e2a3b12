//! Where mails go, and what is in them. The same structure in code and in a file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmtpTls {
    /// By `STARTTLS`, without which nothing is sent.
    Starttls,
    /// From its first byte on.
    Implicit,
    /// Not at all.
    None,
}

/// What an event's payload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailForm {
    /// The text of the mail.
    #[default]
    Text,
    /// A JSON object with the parts of the mail.
    Json,
    /// An XML document with an element for each header, and `Body` with the text.
    Xml,
}

/// What is done where some recipients are refused and others are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusedRecipients {
    /// Nobody gets the mail, and the event fails.
    #[default]
    Fail,
    /// The others get it, and the event leaves by the outbox `partial`.
    Send,
}

/// How [`SmtpSink`](crate::SmtpSink) sends mail.
///
/// ```
/// use playhouse_actors::{SmtpSinkSettings, SmtpTls};
///
/// let in_code = SmtpSinkSettings { tls: Some(SmtpTls::Implicit), ..SmtpSinkSettings::default() };
/// let in_a_file: SmtpSinkSettings = toml::from_str("tls = 'implicit'").unwrap();
/// assert_eq!(in_code, in_a_file);
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SmtpSinkSettings {
    /// How connections are secured; by default by `STARTTLS`, and not at all to a server on this machine.
    pub tls: Option<SmtpTls>,
    /// A PEM file of certificate authorities to trust beside the system's.
    pub authorities: Option<PathBuf>,
    /// As whom to log in; as nobody by default.
    pub user: Option<String>,
    /// The password that goes with it.
    pub password: Option<String>,
    /// What the sink calls itself; its address by default.
    pub hello: Option<String>,
    /// What a payload is; the text of the mail by default.
    pub form: MailForm,
    /// From whom all mails are; by default the event says it.
    pub from: Option<String>,
    /// To whom all mails go; by default the event says it.
    pub to: Vec<String>,
    /// To whom copies go; by default the event says it.
    pub cc: Vec<String>,
    /// To whom copies go that the others do not know of; by default the event says it.
    pub bcc: Vec<String>,
    /// Who gets the answers; by default the event says it.
    pub reply_to: Vec<String>,
    /// The subject of all mails; by default the event says it.
    pub subject: Option<String>,
    /// Further headers of all mails; none by default.
    pub headers: BTreeMap<String, String>,
    /// The domain of a sender without one, in the form `xml`; none by default.
    pub domain: Option<String>,
    /// What is done where some recipients are refused and others are not; by default nobody gets the mail.
    pub refused_recipients: RefusedRecipients,
    /// How many recipients a mail may have; 100 by default.
    pub recipients: usize,
    /// How many bytes a mail may have; 25 MiB by default.
    pub size: usize,
    /// How long it may take to connect, TLS included; 10 s by default.
    #[serde(with = "humantime_serde")]
    pub connect_deadline: Duration,
    /// How long the server may take to answer a command; 30 s by default.
    #[serde(with = "humantime_serde")]
    pub command_deadline: Duration,
    /// How long the server may take to take a mail, and to answer for it; 2 min by default.
    #[serde(with = "humantime_serde")]
    pub data_deadline: Duration,
    /// How many connections are kept open while nobody uses them; 4 by default.
    pub idle_connections: usize,
    /// For how long one is; 30 s by default.
    #[serde(with = "humantime_serde")]
    pub idle_time: Duration,
}

impl Default for SmtpSinkSettings {
    fn default() -> Self {
        Self {
            tls: None,
            authorities: None,
            user: None,
            password: None,
            hello: None,
            form: MailForm::Text,
            from: None,
            to: Vec::new(),
            cc: Vec::new(),
            bcc: Vec::new(),
            reply_to: Vec::new(),
            subject: None,
            headers: BTreeMap::new(),
            domain: None,
            refused_recipients: RefusedRecipients::Fail,
            recipients: 100,
            size: 25 << 20,
            connect_deadline: Duration::from_secs(10),
            command_deadline: Duration::from_secs(30),
            data_deadline: Duration::from_secs(120),
            idle_connections: 4,
            idle_time: Duration::from_secs(30),
        }
    }
}

/// Never shows the password.
impl fmt::Debug for SmtpSinkSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SmtpSinkSettings")
            .field("tls", &self.tls)
            .field("user", &self.user)
            .field("form", &self.form)
            .field("from", &self.from)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let settings: SmtpSinkSettings = toml::from_str("user = 'ada'\npassword = 'hunter2'").unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
