//! What became of the entries that were to be taken back.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::Image;
use super::change::holds;
use super::entries::Action;
use super::images;
use super::subject::Subject;
use crate::error::Result;

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

    /// Whether in the end the record is as it was before; `added`: the records that were added by what is taken back.
    pub fn is_back(&self, now: &HashMap<Uuid, Image>, added: &HashSet<Uuid>) -> bool {
        match (self.action, now.get(&self.id), &self.before) {
            (Action::Insert, None, _) => true,
            (_, None, _) if added.contains(&self.id) => true,
            (Action::Update, Some(now), Some(before)) => {
                before.0.iter().all(|(column, value)| holds(now, column, Some(value)))
            }
            _ => false,
        }
    }
}

/// What follows from other records may be as it was by now.
pub fn settle(outcomes: &mut [Outcome], organization: Uuid) -> Result<()> {
    let added = outcomes.iter().filter(|outcome| outcome.action == Action::Insert);
    let added: HashSet<_> = added.map(|outcome| outcome.id).collect();
    let mut open: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, outcome) in outcomes.iter().enumerate() {
        if outcome.what != What::Reversed && (outcome.action != Action::Delete || added.contains(&outcome.id)) {
            open.entry(outcome.subject.entity.clone()).or_default().push(at);
        }
    }
    for places in open.into_values() {
        let Some(subject) = places.first().map(|&at| Rc::clone(&outcomes[at].subject)) else { continue };
        let ids: Vec<_> = places.iter().map(|&at| outcomes[at].id).collect();
        let now = images::current(&subject, organization, &ids)?;
        for at in places {
            let outcome = &mut outcomes[at];
            if outcome.is_back(&now, &added) {
                outcome.what = What::Reversed;
                outcome.columns.clear();
                outcome.reason = None;
            }
        }
    }
    Ok(())
}
