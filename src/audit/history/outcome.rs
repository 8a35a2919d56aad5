//! What became of the entries that were to be taken back.

use std::collections::{BTreeMap, HashMap};
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
    /// The entry: of two the greater one is the later one.
    pub entry: Uuid,
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

    /// Whether in the end the record is as it was before; `was_added`: what it was then is taken back, too.
    fn is_back(&self, now: &HashMap<Uuid, Image>, was_added: bool) -> bool {
        match (self.action, now.get(&self.id), &self.before) {
            (Action::Insert, None, _) => true,
            (_, None, _) if was_added => true,
            (Action::Update, Some(now), Some(before)) => {
                before.0.iter().all(|(column, value)| holds(now, column, Some(value)))
            }
            _ => false,
        }
    }
}

/// The records that were added by what is taken back, and by which entry first: what became of them before that was another one's.
struct Added(HashMap<(String, Uuid), Uuid>);

impl Added {
    fn by(outcomes: &[Outcome]) -> Self {
        let mut first = HashMap::new();
        for outcome in outcomes.iter().filter(|outcome| outcome.action == Action::Insert) {
            let entry = first.entry((outcome.subject.entity.clone(), outcome.id)).or_insert(outcome.entry);
            *entry = outcome.entry.min(*entry);
        }
        Self(first)
    }

    fn before(&self, outcome: &Outcome) -> bool {
        let record = (outcome.subject.entity.clone(), outcome.id);
        self.0.get(&record).is_some_and(|first| *first < outcome.entry)
    }
}

/// What follows from other records may be as it was by now.
pub fn settle(outcomes: &mut [Outcome], organization: Uuid) -> Result<()> {
    let added = Added::by(outcomes);
    let mut open: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, outcome) in outcomes.iter().enumerate() {
        if outcome.what != What::Reversed && (outcome.action != Action::Delete || added.before(outcome)) {
            open.entry(outcome.subject.entity.clone()).or_default().push(at);
        }
    }
    for places in open.into_values() {
        let Some(subject) = places.first().map(|&at| Rc::clone(&outcomes[at].subject)) else { continue };
        let ids: Vec<_> = places.iter().map(|&at| outcomes[at].id).collect();
        let now = images::current(&subject, organization, &ids)?;
        for at in places {
            let outcome = &mut outcomes[at];
            if outcome.is_back(&now, added.before(outcome)) {
                outcome.what = What::Reversed;
                outcome.columns.clear();
                outcome.reason = None;
            }
        }
    }
    Ok(())
}
