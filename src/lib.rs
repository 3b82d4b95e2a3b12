//! Playhouse is an actor-based dataflow engine: register actors, wire them into a flow, run it. No request hangs and no
//! message vanishes.
//!
//! This crate is the way in. The engine stands at its root ([`Director`], [`Actor`], [`Event`]), and the actors that come
//! with it in [`actors`], each behind a feature of its own.
//!
//! ```
//! use std::time::Duration;
//!
//! use playhouse::actors::{Generator, Stdout};
//! use playhouse::{Director, Event, Result, map, shutdown_signal};
//!
//! # async fn flow() -> Result<()> {
//! let mut director = Director::new("hello");
//! let generator = director.register("generator", Generator::every(Duration::from_secs(1), "hello"));
//! let upper = director.register("upper", map(|event: &Event| event.derive(event.payload().to_string().to_uppercase())));
//! let print = director.register("print", Stdout::default());
//! director.connect(generator, upper);
//! director.connect(upper, print);
//! director.build()?.run_until(shutdown_signal(), Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! ```

mod shutdown;

pub use playhouse_actors as actors;
pub use playhouse_engine::*;
#[cfg(feature = "mdp")]
pub use playhouse_mdp as mdp;
pub use shutdown::shutdown_signal;

/// Compiles the README's example with the docs' tests.
#[cfg(all(doctest, feature = "auth", feature = "files", feature = "http", feature = "xslt"))]
#[doc = include_str!("../README.md")]
struct Readme;
