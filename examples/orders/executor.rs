//! Executes an order: reads what the first transform made of it, and adds it up in exact decimals.

use playhouse::{Error, Event, Light, Outbox, Result, Xml};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Submission {
    #[serde(rename = "@number")]
    number: u64,
    #[serde(rename = "@customer")]
    customer: String,
    #[serde(rename = "line", default)]
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "@quantity")]
    quantity: u64,
    #[serde(rename = "@price")]
    price: Decimal,
}

#[derive(Serialize)]
#[serde(rename = "execution")]
struct Execution {
    #[serde(rename = "@number")]
    number: u64,
    #[serde(rename = "@customer")]
    customer: String,
    #[serde(rename = "@lines")]
    lines: usize,
    #[serde(rename = "@total")]
    total: String,
}

/// Adds an order up.
#[derive(Debug)]
pub(crate) struct Executor;

impl Light for Executor {
    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let order: Submission = quick_xml::de::from_str(&event.payload().as_text()?)
            .map_err(|error| Error::unprocessable("the order makes no sense").caused_by(error))?;
        let Submission { number, customer, lines } = order;
        let total = lines.iter().try_fold(Decimal::ZERO, |total, line| {
            let price = (!line.price.is_sign_negative()).then_some(line.price)?;
            total.checked_add(price.checked_mul(line.quantity.into())?)
        });
        let total =
            total.ok_or_else(|| Error::unprocessable("the order has a price below zero or a total too large"))?;
        let execution = Execution { number, customer, lines: lines.len(), total: format!("{total:.2}") };
        let document = quick_xml::se::to_string(&execution)
            .map_err(|error| Error::internal("the execution cannot be written").caused_by(error))?;
        out.push(event.derive(Xml::new(document)));
        Ok(())
    }
}
