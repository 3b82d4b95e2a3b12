//! Servers in processes of their own, each with two worker threads, and the load that is put on them.

mod audience;
pub mod broadcast;
pub mod client;
pub mod echo;
pub mod events;
pub mod handler;
pub mod hyper;
pub mod orders;
mod served;
pub mod upload;
pub mod upload_hyper;
mod wrk;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use audience::Audience;
pub use served::{Served, Serving, as_child};
pub use wrk::{Load, Measured};

/// Where a server takes requests.
pub const PATH: &str = "/orders";

/// Returns the `Authorization` of a user who may order.
#[must_use]
pub fn credentials() -> String {
    format!("Basic {}", STANDARD.encode("ada:lovelace"))
}

/// Returns what is posted: an order of about 1 KB.
#[must_use]
pub fn order() -> String {
    let line = |number| format!(r#"<line sku="A{number:03}" quantity="{}" price="{number}.50"/>"#, number % 7 + 1);
    let lines: String = (1..=22).map(line).collect();
    format!(r#"<order number="42"><customer>Ada</customer>{lines}</order>"#)
}
