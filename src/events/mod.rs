//! Events: what was changed, told to others. The audit log is the outbox: each entry is an event (`kinds`), written in the
//! transaction that changes the record; the chain of transactions is their order (`feed`), which no event joins late. So an event
//! costs nothing until somebody wants it: `changes` reads them, `fan_out` hands them to webhooks, whose deliveries wait in a
//! queue (`queue`) for whoever delivers. What other systems tell comes in by `inbound`.

mod catalogue;
mod changes;
mod cursor;
mod event;
mod fan_out;
mod feed;
pub mod inbound;
mod jsonpath;
mod kinds;
mod pattern;
mod permitted;
mod picture;
pub mod queue;
mod readable;
mod replay;
mod schedule;
mod secrets;
mod signature;
pub mod wake;
mod webhooks;
