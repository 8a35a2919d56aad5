//! Which stage a deal is to be in, by what was said about its pipeline, stage and status. Pure.

use uuid::Uuid;

/// Where a deal is.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub pipeline: Uuid,
    pub stage: Uuid,
    pub status: String,
}

/// What was said; a value that was not given, or was taken back, is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wish {
    pub pipeline: Option<Uuid>,
    pub stage: Option<Uuid>,
    pub status: Option<String>,
}

/// The stage to look for.
#[derive(Debug, PartialEq)]
pub enum Search {
    /// It stays where it is.
    Stay,
    /// This one; if a pipeline or a kind is named, it has to be of that.
    Named { stage: Uuid, pipeline: Option<Uuid>, kind: Option<String> },
    /// The first of the kind, in this pipeline or the default one.
    First { pipeline: Option<Uuid>, kind: String },
    /// The open one it was in before it was closed, or else the first.
    Reopen { pipeline: Uuid },
}

pub const OPEN: &str = "open";

/// For a new deal. Its status begins as open by itself, so that this alone says nothing against a stage.
pub fn search_first(wish: Wish) -> Search {
    match wish.stage {
        Some(stage) => {
            Search::Named { stage, pipeline: wish.pipeline, kind: wish.status.filter(|status| status != OPEN) }
        }
        None => Search::First { pipeline: wish.pipeline, kind: wish.status.unwrap_or_else(|| OPEN.into()) },
    }
}

/// For a deal that is somewhere. The more exact word counts: the stage, then the pipeline, then the status.
pub fn search_next(old: &Place, wish: Wish) -> Search {
    let pipeline = wish.pipeline.filter(|pipeline| *pipeline != old.pipeline);
    let stage = wish.stage.filter(|stage| *stage != old.stage);
    let status = wish.status.clone().filter(|status| *status != old.status);
    match (stage, pipeline, status) {
        (Some(stage), pipeline, kind) => Search::Named { stage, pipeline, kind },
        (None, Some(pipeline), status) => {
            Search::First { pipeline: Some(pipeline), kind: status.unwrap_or_else(|| old.status.clone()) }
        }
        (None, None, Some(status)) if status == OPEN => Search::Reopen { pipeline: old.pipeline },
        (None, None, Some(kind)) => Search::First { pipeline: Some(old.pipeline), kind },
        (None, None, None) => Search::Stay,
    }
}

/// The probability in percent. What is closed is certain; `said` is what the statement set, `moved` whether it is in another
/// stage than before.
pub fn probability(status: &str, said: Option<i32>, before: Option<i32>, moved: bool, of_stage: i32) -> i32 {
    match (status, said.or(before.filter(|_| !moved))) {
        ("won", _) => 100,
        ("lost", _) => 0,
        (_, Some(set)) => set,
        (_, None) => of_stage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Uuid = Uuid::from_u128(1);
    const Q: Uuid = Uuid::from_u128(2);
    const A: Uuid = Uuid::from_u128(11);
    const B: Uuid = Uuid::from_u128(12);

    fn at(status: &str) -> Place {
        Place { pipeline: P, stage: A, status: status.into() }
    }

    fn wish(pipeline: Uuid, stage: Uuid, status: &str) -> Wish {
        Wish { pipeline: Some(pipeline), stage: Some(stage), status: Some(status.into()) }
    }

    fn first(pipeline: Option<Uuid>, kind: &str) -> Search {
        Search::First { pipeline, kind: kind.into() }
    }

    #[test]
    fn a_new_deal_begins_in_the_default_pipeline() {
        assert_eq!(search_first(Wish::default()), first(None, "open"));
        assert_eq!(search_first(Wish { status: Some("won".into()), ..Wish::default() }), first(None, "won"));
        assert_eq!(search_first(Wish { pipeline: Some(Q), ..Wish::default() }), first(Some(Q), "open"));
    }

    #[test]
    fn a_new_deal_s_stage_decides_unless_the_status_is_closed() {
        let named = |kind: Option<&str>| Search::Named { stage: A, pipeline: Some(P), kind: kind.map(Into::into) };
        assert_eq!(search_first(wish(P, A, "open")), named(None));
        assert_eq!(search_first(wish(P, A, "won")), named(Some("won")));
    }

    #[test]
    fn a_deal_moves_by_its_stage_its_pipeline_or_its_status() {
        assert_eq!(search_next(&at("open"), wish(P, A, "open")), Search::Stay);
        assert_eq!(search_next(&at("open"), Wish::default()), Search::Stay);
        let named = |pipeline, kind: Option<&str>| Search::Named { stage: B, pipeline, kind: kind.map(Into::into) };
        assert_eq!(search_next(&at("open"), wish(P, B, "open")), named(None, None));
        assert_eq!(search_next(&at("open"), wish(Q, B, "won")), named(Some(Q), Some("won")));
        assert_eq!(search_next(&at("won"), wish(Q, A, "won")), first(Some(Q), "won"));
        assert_eq!(search_next(&at("open"), wish(P, A, "lost")), first(Some(P), "lost"));
        assert_eq!(search_next(&at("lost"), wish(P, A, "open")), Search::Reopen { pipeline: P });
    }

    #[test]
    fn the_probability_follows_the_stage_unless_it_is_said() {
        assert_eq!(probability("open", None, None, true, 25), 25);
        assert_eq!(probability("open", Some(60), Some(10), true, 25), 60);
        assert_eq!(probability("open", None, Some(10), true, 25), 25);
        assert_eq!(probability("open", None, Some(10), false, 25), 10);
        assert_eq!(probability("won", Some(60), None, false, 25), 100);
        assert_eq!(probability("lost", None, Some(60), true, 25), 0);
    }
}
