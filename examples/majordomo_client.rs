//! Calls a service through a broker, from ordinary code. Every call ends: with a reply, or with an error that says why.
//!
//! Run, beside a broker and the `majordomo_worker` example:
//!
//! ```text
//! cargo run --example majordomo_client -- tcp://127.0.0.1:5555 Ada Grace
//! ```
//!
//! Output:
//!     Hello, Ada
//!     Hello, Grace

use std::time::Duration;

use playhouse::mdp::{Brokers, Caller};
use playhouse::{Event, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let broker = arguments.next().unwrap_or_else(|| "tcp://127.0.0.1:5555".to_owned());

    let caller = Caller::connect(&Brokers::at(&broker)?)?;
    for name in arguments {
        let reply = caller.call("greeting", &Event::new(name), Duration::from_secs(5)).await?;
        println!("{}", reply.payload());
    }
    caller.close().await;
    Ok(())
}
