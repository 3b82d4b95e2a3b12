//! `playhouse services`: a table of what brokers serve.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use playhouse::mdp::protocol::ClientSettings;
use playhouse::mdp::transport::Endpoint;
use playhouse::mdp::{Brokers, Caller};
use playhouse::{Error, Kind, Result};
use serde_json::Value;

use crate::output::print;
use crate::peers::{Peers, time};

/// What `--help` shows at its end.
const EXAMPLES: &str = "\
Examples:
  playhouse services
  playhouse services --registry tcp://127.0.0.1:6000
  playhouse services --json | jq '.services[] | select(.queued > 100) | .service'
  watch playhouse services

Workers are idle or busy with a request; the rate is that of the requests of late; the oldest wait is how long the first
request in the queue has waited. A service without workers is shown as long as requests wait for it.";

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    peers: Peers,
    /// How long to wait for a broker
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    timeout: Duration,
    /// Print all that the brokers count, as JSON, a line for each
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let arguments = Arc::new(arguments);
    let brokers = arguments.peers.brokers()?.now(arguments.timeout).await?;
    // All at once: one that is away must not hold up the others.
    let asked: Vec<_> = brokers
        .iter()
        .map(|broker| {
            let (arguments, broker) = (arguments.clone(), broker.clone());
            tokio::spawn(async move { ask(&arguments, &broker).await })
        })
        .collect();
    let (mut rows, mut failure) = (Vec::new(), None);
    for (broker, answer) in brokers.iter().zip(asked) {
        let answer = answer.await.unwrap_or_else(|error| Err(Error::internal("asking panicked").caused_by(error)));
        match answer {
            Ok(statistics) if arguments.json => print(format!("{statistics}\n"))?,
            Ok(statistics) => {
                let services = statistics["services"].as_array().into_iter().flatten();
                rows.extend(services.map(|service| Row::of(service, broker, brokers.len() > 1)));
            }
            Err(error) => {
                // The last one is what the command ends with.
                if let Some(earlier) = failure.replace(error) {
                    eprintln!("error: {earlier} ({})", earlier.kind());
                }
            }
        }
    }
    if !arguments.json && (failure.is_none() || !rows.is_empty()) {
        print(table(&rows))?;
    }
    failure.map_or(Ok(()), Err)
}

async fn ask(arguments: &Arguments, broker: &Endpoint) -> Result<Value> {
    let settings = ClientSettings { version: arguments.peers.protocol, envelope: false, ..ClientSettings::default() };
    let only = Brokers::List(vec![broker.clone()]);
    let caller = Caller::with(&only, settings, arguments.peers.socket()?)?;
    // A request has a body of one frame at least.
    let reply = caller.frames("mmi.stats", vec![Default::default()], arguments.timeout).await;
    caller.close().await;
    let reply = reply.map_err(|error| match error.kind() {
        // Those that the time is up, which say more of this question than whoever asks wants to know.
        Kind::Unavailable | Kind::Timeout => {
            let message = format!("the broker at `{broker}` did not answer within {:?}", arguments.timeout);
            Error::new(error.kind(), message)
        }
        _ => error,
    })?;
    match reply.as_slice() {
        [status, body] if status == "200" => serde_json::from_slice(body)
            .map_err(|error| Error::malformed(format!("`{broker}` does not answer in JSON")).caused_by(error)),
        [status, ..] if status == "501" => {
            Err(Error::unsupported(format!("`{broker}` does not tell what it serves: it is no playhouse broker")))
        }
        _ => Err(Error::malformed(format!("expected the statistics of `{broker}`, found something else"))),
    }
}

struct Row([String; 5]);

const HEAD: [&str; 5] = ["SERVICE", "WORKERS idle/busy", "QUEUED", "REQUESTS/s", "OLDEST WAIT"];

impl Row {
    fn of(service: &Value, broker: &Endpoint, names_broker: bool) -> Self {
        let number = |name: &str| service[name].as_u64().unwrap_or_default();
        let name = service["service"].as_str().unwrap_or_default();
        let name = if names_broker { format!("{name} ({broker})") } else { name.to_owned() };
        let wait = Duration::from_millis(number("oldest_wait_ms"));
        Self([
            name,
            format!("{}/{}", number("idle"), number("busy")),
            number("queued").to_string(),
            format!("{:.1}", service["rate"].as_f64().unwrap_or_default()),
            waited(wait),
        ])
    }
}

/// Shows a time as closely as it is of use.
fn waited(time: Duration) -> String {
    match time.as_secs() {
        0 if time.is_zero() => "-".to_owned(),
        0 => format!("{} ms", time.as_millis()),
        1..=59 => format!("{:.1} s", time.as_secs_f64()),
        seconds => humantime::format_duration(Duration::from_secs(seconds)).to_string(),
    }
}

/// Lines up the columns: names to the left, numbers to the right.
fn table(rows: &[Row]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row.0[column].chars().count());
        cells.chain([HEAD[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |cells: [&str; 5]| {
        let name = format!("{:<1$}", cells[0], widths[0]);
        let rest = (1..5).map(|column| format!("  {:>1$}", cells[column], widths[column]));
        format!("{name}{}\n", rest.collect::<String>())
    };
    let body = rows.iter().map(|row| line(row.0.each_ref().map(String::as_str)));
    line(HEAD) + &body.collect::<String>()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_columns_are_lined_up() {
        let broker = "tcp://127.0.0.1:5555".parse().unwrap();
        let echo =
            json!({"service": "echo", "idle": 3, "busy": 1, "queued": 120, "rate": 12.34, "oldest_wait_ms": 1500});
        let idle =
            json!({"service": "a long name", "idle": 0, "busy": 0, "queued": 0, "rate": 0.0, "oldest_wait_ms": 0});
        let shown = table(&[Row::of(&echo, &broker, false), Row::of(&idle, &broker, false)]);
        let expected = "SERVICE      WORKERS idle/busy  QUEUED  REQUESTS/s  OLDEST WAIT\n\
                        echo                       3/1     120        12.3        1.5 s\n\
                        a long name                0/0       0         0.0            -\n";
        assert_eq!(shown, expected);
        assert_eq!(waited(Duration::from_millis(7)), "7 ms");
        assert_eq!(waited(Duration::from_millis(125_900)), "2m 5s");
    }
}
