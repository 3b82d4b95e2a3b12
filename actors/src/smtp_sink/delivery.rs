//! One mail over one connection.

use playhouse_engine::{Error, Result};
use smtp_proto::{EXT_8BIT_MIME, EXT_PIPELINING, EXT_SIZE, EXT_SMTP_UTF8};
use tokio::time::timeout;

use super::compose::Composed;
use super::connection::Connection;
use super::reply::{Refused, Reply, refusal};
use super::server::Server;
use super::settings::RefusedRecipients;

/// Why a mail was not sent.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// Whether the connection had gone before the mail was begun.
    pub(super) was_gone: bool,
    /// Whether the connection can be used for the next mail.
    pub(super) is_usable: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, was_gone: false, is_usable: false }
    }
}

impl Server {
    /// Sends a mail, and returns who was refused while others have it.
    pub(super) async fn send(
        &self,
        connection: &mut Connection,
        mail: &Composed,
        mode: RefusedRecipients,
    ) -> Result<Vec<Refused>, Failure> {
        let mut commands = vec![self.mail_command(connection, mail)?];
        commands.extend(mail.to.iter().map(|address| format!("RCPT TO:<{address}>\r\n")));
        let mut replies = self.envelope(connection, &commands).await?.into_iter();
        let sender = replies.next().unwrap_or_else(|| Reply::new(421, ""));
        if !sender.is_yes() {
            let is_usable = sender.code != 421 && self.reset(connection).await;
            return Err(Failure { error: sender.error(&self.name, "MAIL"), was_gone: sender.code == 421, is_usable });
        }
        let refused: Vec<Refused> = mail
            .to
            .iter()
            .zip(replies)
            .filter(|(_, reply)| !reply.is_yes())
            .map(|(address, reply)| Refused { address: address.clone(), reply })
            .collect();
        if refused.len() == mail.to.len() || (mode == RefusedRecipients::Fail && !refused.is_empty()) {
            let is_usable = refused.iter().all(|one| one.reply.code != 421) && self.reset(connection).await;
            return Err(Failure { error: refusal(&self.name, &refused, true), was_gone: false, is_usable });
        }
        self.data(connection, &mail.bytes).await?;
        Ok(refused)
    }

    /// Makes the command that begins the mail.
    fn mail_command(&self, connection: &Connection, mail: &Composed) -> Result<String, Failure> {
        let abilities = &connection.abilities;
        let fits = |error: Error| Failure { error, was_gone: false, is_usable: true };
        let mut command = format!("MAIL FROM:<{}>", mail.from);
        if abilities.has(EXT_SIZE) {
            let length = mail.bytes.len();
            if abilities.size > 0 && length > abilities.size {
                let message = format!("the mail has {length} bytes; `{}` takes {}", self.name, abilities.size);
                return Err(fits(Error::too_large(message)));
            }
            command.push_str(&format!(" SIZE={length}"));
        }
        // Only addresses are left as they are; all else in a mail is ASCII.
        if !mail.bytes.is_ascii() || mail.to.iter().chain([&mail.from]).any(|address| !address.is_ascii()) {
            if !abilities.has(EXT_SMTP_UTF8) || !abilities.has(EXT_8BIT_MIME) {
                let message = format!("`{}` takes no address that is not ASCII", self.name);
                return Err(fits(Error::unsupported(message)));
            }
            command.push_str(" BODY=8BITMIME SMTPUTF8");
        }
        command.push_str("\r\n");
        Ok(command)
    }

    /// Sends the commands before the mail, all at once where the server can do that, and returns the replies.
    async fn envelope(&self, connection: &mut Connection, commands: &[String]) -> Result<Vec<Reply>, Failure> {
        let mut replies = Vec::with_capacity(commands.len());
        let at_once = connection.abilities.has(EXT_PIPELINING);
        if at_once {
            let all = commands.concat();
            let written = self.in_time("MAIL", connection.write(all.as_bytes())).await?;
            written.map_err(|error| gone(self.lost(error)))?;
        }
        for (number, command) in commands.iter().enumerate() {
            let what = if number == 0 { "MAIL" } else { "RCPT" };
            if !at_once {
                let written = self.in_time(what, connection.write(command.as_bytes())).await?;
                written.map_err(|error| if number == 0 { gone(self.lost(error)) } else { self.lost(error).into() })?;
            }
            let reply = self.in_time(what, connection.reply()).await?;
            replies.push(
                reply.map_err(|error| if number == 0 { gone(self.lost(error)) } else { self.lost(error).into() })?,
            );
            // A server that says so closes, and answers nothing more.
            if replies.last().is_some_and(|reply| reply.code == 421 || (number == 0 && !at_once && !reply.is_yes())) {
                break;
            }
        }
        if let Some(reply) = replies.iter().skip(1).find(|reply| reply.code == 421) {
            return Err(reply.error(&self.name, "RCPT").into());
        }
        Ok(replies)
    }

    async fn data(&self, connection: &mut Connection, mail: &[u8]) -> Result<(), Failure> {
        let in_time = async |connection: &mut Connection, bytes: &[u8]| {
            let answered = async {
                connection.write(bytes).await?;
                connection.reply().await
            };
            let answered = timeout(self.data_deadline, answered).await.map_err(|_| self.late("DATA"))?;
            answered.map_err(|error| self.lost(error))
        };
        let ready = in_time(connection, b"DATA\r\n").await?;
        if ready.code != 354 {
            let is_usable = ready.code >= 400 && ready.code != 421 && self.reset(connection).await;
            return Err(Failure { error: ready.error(&self.name, "DATA"), was_gone: false, is_usable });
        }
        let reply = in_time(connection, &stuffed(mail)).await?;
        if reply.is_yes() {
            return Ok(());
        }
        Err(Failure {
            error: reply.error(&self.name, "DATA"),
            was_gone: false,
            is_usable: reply.code >= 400 && reply.code != 421,
        })
    }

    /// Takes back what was begun; says whether the connection can be used on.
    async fn reset(&self, connection: &mut Connection) -> bool {
        self.ask(connection, "RSET", "RSET").await.is_ok()
    }
}

fn gone(error: Error) -> Failure {
    Failure { error, was_gone: true, is_usable: false }
}

/// Writes a mail as it goes over the wire: every line ends by CR and LF, whatever it ended by, and one that begins with a dot
/// has another before it. So nothing within a mail can end it.
fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(mail.len() + mail.len() / 64 + 8);
    let mut rest = mail;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
        rest = after.strip_prefix(b"\r\n").or_else(|| after.get(1..)).unwrap_or_default();
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_within_a_mail_ends_it() {
        for (mail, wire) in [
            (&b"a\r\n"[..], &b"a\r\n.\r\n"[..]),
            (b"a", b"a\r\n.\r\n"),
            (b"", b".\r\n"),
            (b"a\r\n.\r\nb\n.\nc\r.\rd", b"a\r\n..\r\nb\r\n..\r\nc\r\n..\r\nd\r\n.\r\n"),
            (b".a\r\n\r\n", b"..a\r\n\r\n.\r\n"),
            (b"\r\r\n", b"\r\n\r\n.\r\n"),
        ] {
            assert_eq!(stuffed(mail), wire, "{:?}", mail.escape_ascii().to_string());
        }
    }
}
