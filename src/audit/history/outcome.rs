//! What became of the entries that were to be taken back.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::Image;
use super::change::holds;
use super::entries::Action;
use super::subject::Subject;

/// In the order in which they are told.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum What {
    Failed,
    Kept,
    Partly,
    Reversed,
}

/// What became of an entry.
pub struct Outcome {
    pub subject: Rc<Subject>,
    pub id: Uuid,
    pub action: Action,
    pub what: What,
    /// Those that stay as they are.
    pub columns: Vec<String>,
    pub reason: Option<String>,
    /// What to compare with in the end: what follows from other records may be so by then.
    pub before: Option<Image>,
}

impl Outcome {
    pub fn describe(&self) -> Value {
        let what = match self.what {
            What::Failed => "failed",
            What::Kept => "kept",
            What::Partly => "partly",
            What::Reversed => "reversed",
        };
        json!({
            "entity": self.subject.entity,
            "id": self.id,
            "action": self.action.name(),
            "outcome": what,
            "columns": self.columns,
            "reason": self.reason,
        })
    }

    /// Whether in the end the record is as it was before.
    pub fn is_back(&self, now: &HashMap<Uuid, Image>) -> bool {
        match (self.action, now.get(&self.id), &self.before) {
            (Action::Insert, None, _) => true,
            (Action::Update, Some(now), Some(before)) => {
                before.0.iter().all(|(column, value)| holds(now, column, Some(value)))
            }
            _ => false,
        }
    }
}
