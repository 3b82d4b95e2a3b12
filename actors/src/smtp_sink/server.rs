//! The server that mails go to: how a connection to it is made, up to where a mail can be sent.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use playhouse_engine::{Error, Result};
use rustls::pki_types::ServerName;
use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN, EXT_START_TLS};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::{Abilities, Connection};
use super::reply::Reply;
use super::settings::{SmtpSinkSettings, SmtpTls};
use crate::tls::TlsClient;

/// The server, and how it is spoken to.
pub(super) struct Server {
    /// `host:port`, as it was given.
    pub(super) name: String,
    host: String,
    port: u16,
    tls: SmtpTls,
    /// There where TLS is spoken.
    client: Option<TlsClient>,
    login: Option<(String, String)>,
    hello: Option<String>,
    connect_deadline: Duration,
    pub(super) command_deadline: Duration,
    pub(super) data_deadline: Duration,
}

impl Server {
    /// Reads `host:port`, and the settings that a connection needs.
    ///
    /// # Errors
    /// `Malformed` with all that makes no sense; as [`TlsClient::trusting_system_and`].
    pub(super) fn new(name: &str, settings: &SmtpSinkSettings) -> Result<Self> {
        let malformed =
            |problem: &str| Error::malformed(format!("no mail can go to `{}`: {problem}", name.escape_debug()));
        let (host, port) = name.rsplit_once(':').ok_or_else(|| malformed("expected `host:port`"))?;
        let port = port.parse().map_err(|error| malformed("expected a port from 1 to 65535").caused_by(error))?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_wrong = |letter: char| !letter.is_ascii_alphanumeric() && !"-._:".contains(letter);
        if host.is_empty() || host.contains(is_wrong) {
            return Err(malformed("expected the name or the address of a host"));
        }
        let is_here =
            host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|host: IpAddr| host.is_loopback());
        let tls = settings.tls.unwrap_or(if is_here { SmtpTls::None } else { SmtpTls::Starttls });
        let login = match (&settings.user, &settings.password) {
            (None, None) => None,
            (Some(_), Some(_)) if tls == SmtpTls::None && !is_here => {
                return Err(malformed("the password would go there in the clear; expected `tls`"));
            }
            (Some(user), Some(password)) => Some((user.clone(), password.clone())),
            _ => return Err(malformed("`user` and `password` go together")),
        };
        if let Some(hello) = &settings.hello
            && (hello.is_empty() || hello.contains(|letter: char| !letter.is_ascii_graphic()))
        {
            return Err(malformed("`hello` is no name"));
        }
        let client = match tls {
            SmtpTls::None => None,
            SmtpTls::Starttls | SmtpTls::Implicit => {
                ServerName::try_from(host)
                    .map_err(|error| malformed("a certificate cannot be for this host").caused_by(error))?;
                Some(TlsClient::trusting_system_and(settings.authorities.as_deref())?)
            }
        };
        Ok(Self {
            name: name.to_owned(),
            host: host.to_owned(),
            port,
            tls,
            client,
            login,
            hello: settings.hello.clone(),
            connect_deadline: settings.connect_deadline,
            command_deadline: settings.command_deadline,
            data_deadline: settings.data_deadline,
        })
    }

    /// Connects, secures the connection, and logs in.
    ///
    /// # Errors
    /// `Unavailable` and `Timeout` where the server cannot be reached; else of the kind that its answer has.
    pub(super) async fn connect(&self) -> Result<Connection> {
        let socket = self.in_time("a connection", TcpStream::connect((self.host.as_str(), self.port))).await?;
        let socket = socket.map_err(|error| self.unavailable("cannot be reached").caused_by(error))?;
        // What is sent in one piece goes in one piece; where it cannot be set, it is slow and right.
        let _ = socket.set_nodelay(true);
        let address = socket.local_addr().map(|address| address.ip());
        let hello = match (&self.hello, address) {
            (Some(hello), _) => hello.clone(),
            (None, Ok(IpAddr::V4(address))) => format!("[{address}]"),
            (None, Ok(IpAddr::V6(address))) => format!("[IPv6:{address}]"),
            (None, Err(_)) => "localhost".to_owned(),
        };
        let mut connection = match (self.tls, &self.client) {
            (SmtpTls::Implicit, Some(client)) => self.secure(socket, client).await?,
            _ => Connection::new(socket),
        };
        let greeting = self.reply(&mut connection, "a connection").await?;
        if !greeting.is_yes() {
            return Err(greeting.error(&self.name, "a connection"));
        }
        self.hello(&mut connection, &hello).await?;
        if let (SmtpTls::Starttls, Some(client)) = (self.tls, &self.client) {
            connection = self.start_tls(connection, client).await?;
            self.hello(&mut connection, &hello).await?;
        }
        if let Some((user, password)) = &self.login {
            self.log_in(&mut connection, user, password).await?;
        }
        Ok(connection)
    }

    async fn hello(&self, connection: &mut Connection, name: &str) -> Result<()> {
        let command = format!("EHLO {name}");
        self.say(connection, &command, "EHLO").await?;
        let (reply, abilities) =
            self.in_time("EHLO", connection.hello_reply()).await?.map_err(|error| self.lost(error))?;
        if reply.is_yes() {
            connection.abilities = abilities;
            return Ok(());
        }
        // A server from before extensions.
        if !(500..=504).contains(&reply.code) {
            return Err(reply.error(&self.name, "EHLO"));
        }
        connection.abilities = Abilities::default();
        self.ask(connection, &format!("HELO {name}"), "HELO").await.map(drop)
    }

    async fn start_tls(&self, mut connection: Connection, client: &TlsClient) -> Result<Connection> {
        if !connection.abilities.has(EXT_START_TLS) {
            let message = format!("`{}` does not offer `STARTTLS`, without which nothing is sent", self.name);
            return Err(Error::unsupported(message));
        }
        self.ask(&mut connection, "STARTTLS", "STARTTLS").await?;
        // What came in the clear behind the answer may be somebody else's, and would be taken for the server's.
        let Some(stream) = connection.into_stream() else {
            return Err(self.unavailable("said more before TLS than it may"));
        };
        self.secure(stream, client).await
    }

    async fn secure<S: super::connection::Stream + 'static>(
        &self,
        stream: S,
        client: &TlsClient,
    ) -> Result<Connection> {
        match timeout(self.connect_deadline, client.connect(&self.host, stream)).await {
            Ok(Ok(stream)) => Ok(Connection::new(stream)),
            Ok(Err(error)) => Err(self.unavailable("did not agree on TLS").caused_by(error)),
            Err(_) => Err(self.late("a TLS handshake")),
        }
    }

    async fn log_in(&self, connection: &mut Connection, user: &str, password: &str) -> Result<()> {
        if connection.abilities.mechanisms & AUTH_PLAIN != 0 {
            let answer = STANDARD.encode(format!("\0{user}\0{password}"));
            let reply = self.exchange(connection, &format!("AUTH PLAIN {answer}"), "AUTH").await?;
            if reply.is_more() {
                // Some servers do not take it along with the command.
                self.ask(connection, &answer, "AUTH").await?;
            } else if !reply.is_yes() {
                return Err(reply.error(&self.name, "AUTH"));
            }
        } else if connection.abilities.mechanisms & AUTH_LOGIN != 0 {
            for line in ["AUTH LOGIN", &STANDARD.encode(user)] {
                let reply = self.exchange(connection, line, "AUTH").await?;
                if !reply.is_more() {
                    return Err(reply.error(&self.name, "AUTH"));
                }
            }
            self.ask(connection, &STANDARD.encode(password), "AUTH").await?;
        } else {
            return Err(Error::unsupported(format!("`{}` offers neither `AUTH PLAIN` nor `LOGIN`", self.name)));
        }
        Ok(())
    }

    /// Sends a command and expects a yes.
    pub(super) async fn ask(&self, connection: &mut Connection, command: &str, what: &'static str) -> Result<Reply> {
        let reply = self.exchange(connection, command, what).await?;
        if reply.is_yes() { Ok(reply) } else { Err(reply.error(&self.name, what)) }
    }

    /// Sends a command and waits for the reply to it.
    async fn exchange(&self, connection: &mut Connection, command: &str, what: &'static str) -> Result<Reply> {
        self.say(connection, command, what).await?;
        self.reply(connection, what).await
    }

    async fn say(&self, connection: &mut Connection, command: &str, what: &'static str) -> Result<()> {
        let line = format!("{command}\r\n");
        self.in_time(what, connection.write(line.as_bytes())).await?.map_err(|error| self.lost(error))
    }

    /// Waits for the reply to a command.
    pub(super) async fn reply(&self, connection: &mut Connection, what: &'static str) -> Result<Reply> {
        self.in_time(what, connection.reply()).await?.map_err(|error| self.lost(error))
    }

    pub(super) async fn in_time<T>(&self, what: &'static str, answer: impl Future<Output = T>) -> Result<T> {
        let limit = if what == "a connection" { self.connect_deadline } else { self.command_deadline };
        timeout(limit, answer).await.map_err(|_| self.late(what))
    }

    pub(super) fn late(&self, what: &str) -> Error {
        Error::timeout(format!("`{}` did not answer `{what}` in time", self.name))
    }

    pub(super) fn lost(&self, error: std::io::Error) -> Error {
        self.unavailable("broke off").caused_by(error)
    }

    fn unavailable(&self, what: &str) -> Error {
        Error::unavailable(format!("`{}` {what}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn problem(name: &str, settings: &SmtpSinkSettings) -> String {
        Server::new(name, settings).err().expect("it should be refused").message().to_owned()
    }

    #[test]
    fn a_server_on_this_machine_needs_no_tls_and_any_other_does() {
        let settings = SmtpSinkSettings::default();
        for name in ["localhost:25", "127.0.0.1:25", "[::1]:25"] {
            assert_eq!(Server::new(name, &settings).unwrap().tls, SmtpTls::None, "{name}");
        }
        assert_eq!(Server::new("mail.test:587", &settings).unwrap().tls, SmtpTls::Starttls);
    }

    #[test]
    fn what_makes_no_sense_says_why() {
        let settings = SmtpSinkSettings::default();
        assert_eq!(problem("mail.test", &settings), "no mail can go to `mail.test`: expected `host:port`");
        assert!(problem("mail.test:x", &settings).ends_with("expected a port from 1 to 65535"));
        assert!(problem("mail test:25", &settings).ends_with("expected the name or the address of a host"));
        let user = SmtpSinkSettings { user: Some("ada".to_owned()), ..SmtpSinkSettings::default() };
        assert!(problem("localhost:25", &user).ends_with("`user` and `password` go together"));
        let clear = SmtpSinkSettings { password: Some("hunter2".to_owned()), tls: Some(SmtpTls::None), ..user };
        let told = problem("mail.test:25", &clear);
        assert!(told.ends_with("in the clear; expected `tls`") && !told.contains("hunter2"), "{told}");
    }
}
