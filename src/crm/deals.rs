//! A deal is always in a stage of its pipeline, and its status says of what kind that stage is. Each stage it came to is noted.

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, PgBuiltInOids};
use uuid::Uuid;

use super::stages::{self, Place, Search, Wish};
use crate::access::permissions;
use crate::db::restoring::is_restoring;
use crate::db::{self, Rows as Found};
use crate::error::{CrmError, Result};
use crate::identity::principal::{Principal, from_pg, to_pg};
use crate::records::row::{self, Images, Row, Rows};
use crate::schema::is_restore;

#[pg_trigger(sql = false)]
fn place_deal<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(placed(trigger).map(Some))
}

fn placed(trigger: &PgTrigger) -> Result<Row> {
    let Rows { mut new, old } = Rows::of(trigger)?;
    let named = new.get::<pgrx::Uuid>("org_id")?.map(from_pg);
    let org_id = named.or_else(|| Principal::current().and_then(|principal| principal.org_id()));
    // Where none is named, _500_stamp says so.
    let Some(org_id) = org_id.filter(|_| !is_restore()) else { return Ok(new) };
    // What is another's is refused after this, and until then must tell nothing.
    let permission = if old.is_some() { "deals.update" } else { "deals.create" };
    let moves = old.as_ref().is_some_and(|old| new.differs("org_id", old) || new.differs("id", old));
    if moves || !permissions::had_in(Some(org_id), permission)? {
        return Ok(new);
    }
    if new.get::<String>("currency")?.is_none_or(|currency| currency.trim().is_empty()) {
        new.set("currency", currency_of(org_id)?)?;
    }
    let mut wish = Wish {
        pipeline: new.get::<pgrx::Uuid>("pipeline_id")?.map(from_pg),
        stage: new.get::<pgrx::Uuid>("stage_id")?.map(from_pg),
        status: new.get("status")?,
    };
    // What is no status is refused by the rule of that column.
    if wish.status.as_deref().is_none_or(|status| !["open", "won", "lost"].contains(&status)) {
        return Ok(new);
    }
    let said: Option<i32> = new.get("probability")?;
    match old {
        None => {
            // The stage says by now of what kind it is.
            if is_restoring(trigger) && wish.stage.is_some() {
                wish.status = None;
            }
            settle(&mut new, stages::search_first(wish), org_id, said, None)?;
        }
        Some(old) => {
            let before: Option<i32> = old.get("probability")?;
            let search = stages::search_next(&place_of(&old)?, wish);
            if search == Search::Stay {
                new.keep("pipeline_id", &old);
                new.keep("stage_id", &old);
            }
            let changed = said.filter(|_| said != before || is_restoring(trigger));
            settle(&mut new, search, org_id, changed, before.filter(|_| said.is_some()))?;
        }
    }
    Ok(new)
}

/// Puts the deal where it belongs. `said` is the probability the statement set, `before` the one that was there and was not
/// taken back.
fn settle(new: &mut Row, search: Search, org_id: Uuid, said: Option<i32>, before: Option<i32>) -> Result<()> {
    let deal = new.get::<pgrx::Uuid>("id")?.map(from_pg);
    let moved = search != Search::Stay;
    let stage = match search {
        Search::Stay if said.or(before).is_some() => None,
        Search::Stay => match new.get::<pgrx::Uuid>("stage_id")? {
            Some(stage) => {
                Some(find(Search::Named { stage: from_pg(stage), pipeline: None, kind: None }, org_id, deal)?)
            }
            None => None,
        },
        search => Some(find(search, org_id, deal)?),
    };
    if let Some(stage) = &stage {
        new.set("pipeline_id", Some(to_pg(stage.pipeline)))?;
        new.set("stage_id", Some(to_pg(stage.id)))?;
        new.set("status", Some(stage.kind.as_str()))?;
    }
    let status: String = new.get("status")?.unwrap_or_default();
    let of_stage = stage.map_or(0, |stage| stage.probability);
    new.set("probability", Some(stages::probability(&status, said, before, moved, of_stage)))
}

fn place_of(old: &Row) -> Result<Place> {
    let missing = || CrmError::internal("a deal without a stage");
    Ok(Place {
        pipeline: old.get::<pgrx::Uuid>("pipeline_id")?.map(from_pg).ok_or_else(missing)?,
        stage: old.get::<pgrx::Uuid>("stage_id")?.map(from_pg).ok_or_else(missing)?,
        status: old.get("status")?.ok_or_else(missing)?,
    })
}

struct Stage {
    id: Uuid,
    pipeline: Uuid,
    kind: String,
    probability: i32,
}

const UUIDS: [PgBuiltInOids; 3] = [PgBuiltInOids::UUIDOID; 3];

fn find(search: Search, org_id: Uuid, deal: Option<Uuid>) -> Result<Stage> {
    match search {
        // Whoever stays is not looked for.
        Search::Stay => Err(CrmError::internal("a deal that stays was looked for")),
        Search::Named { stage, pipeline, kind } => {
            let found =
                find_named(org_id, stage)?.ok_or_else(|| CrmError::invalid("stage_id", "there is no such stage"))?;
            if pipeline.is_some_and(|pipeline| pipeline != found.pipeline) {
                return Err(CrmError::invalid("stage_id", "this stage is of another pipeline"));
            }
            if kind.is_some_and(|kind| kind != found.kind) {
                return Err(CrmError::invalid("status", format!("the stage is one for deals that are {}", found.kind)));
            }
            Ok(found)
        }
        Search::First { pipeline, kind } => find_first(org_id, pipeline, &kind)?.ok_or_else(|| match pipeline {
            Some(_) => CrmError::invalid(
                "pipeline_id",
                format!("there is no such pipeline with a stage for deals that are {kind}"),
            ),
            None => CrmError::invalid(
                "pipeline_id",
                format!("name a pipeline: there is no default one with a stage for deals that are {kind}"),
            ),
        }),
        Search::Reopen { pipeline } => match deal.map_or(Ok(None), |deal| find_left(org_id, deal, pipeline))? {
            Some(stage) => Ok(stage),
            None => find(Search::First { pipeline: Some(pipeline), kind: stages::OPEN.into() }, org_id, deal),
        },
    }
}

fn find_named(org_id: Uuid, stage: Uuid) -> Result<Option<Stage>> {
    as_owner(|| {
        db::select(
            "select id, pipeline_id, kind, probability from crm.pipeline_stages where org_id = $1 and id = $2",
            &UUIDS[..2],
            &[to_pg(org_id).into(), to_pg(stage).into()],
            stage_of,
        )
    })
}

fn find_first(org_id: Uuid, pipeline: Option<Uuid>, kind: &str) -> Result<Option<Stage>> {
    as_owner(|| {
        db::select(
            "select id, pipeline_id, kind, probability
             from crm.pipeline_stages
             where org_id = $1 and kind = $3 and pipeline_id = coalesce(
                 $2, (select p.id from crm.pipelines as p where p.org_id = $1 and p.is_default)
             )
             order by position, id limit 1",
            &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID],
            &[to_pg(org_id).into(), pipeline.map(to_pg).into(), kind.into()],
            stage_of,
        )
    })
}

/// The open stage the deal came from.
fn find_left(org_id: Uuid, deal: Uuid, pipeline: Uuid) -> Result<Option<Stage>> {
    as_owner(|| {
        db::select(
            "select s.id, s.pipeline_id, s.kind, s.probability
             from crm.deal_stage_changes as c
             join crm.pipeline_stages as s on s.org_id = c.org_id and s.id = c.to_stage_id
             where c.org_id = $1 and c.deal_id = $2 and s.pipeline_id = $3 and s.kind = 'open'
             order by c.changed_at desc, c.id desc limit 1",
            &UUIDS,
            &[to_pg(org_id).into(), to_pg(deal).into(), to_pg(pipeline).into()],
            stage_of,
        )
    })
}

fn stage_of(rows: Found) -> Result<Option<Stage>> {
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let (id, pipeline) = (row.get::<pgrx::Uuid>(1)?, row.get::<pgrx::Uuid>(2)?);
    let (Some(id), Some(pipeline), Some(kind), Some(probability)) = (id, pipeline, row.get(3)?, row.get(4)?) else {
        return Ok(None);
    };
    Ok(Some(Stage { id: from_pg(id), pipeline: from_pg(pipeline), kind, probability }))
}

fn currency_of(org_id: Uuid) -> Result<Option<String>> {
    as_owner(|| {
        db::select(
            "select currency from crm.organizations where id = $1",
            &UUIDS[..1],
            &[to_pg(org_id).into()],
            |rows| rows.first().get_one::<String>(),
        )
    })
}

/// Who may add a deal need not be permitted to see how pipelines are set up.
fn as_owner<R>(run: impl FnOnce() -> Result<R>) -> Result<R> {
    db::as_owner_of(c"crm", c"pipelines", run)
}

#[pg_trigger(sql = false)]
fn note_stage<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(note(trigger).map(|()| None))
}

fn note(trigger: &PgTrigger) -> Result<()> {
    // A dump brings the history, and so does a deal that comes back.
    let is_new = !trigger.event().fired_for_row();
    if is_restore() || is_new && is_restoring(trigger) {
        return Ok(());
    }
    if is_new {
        return as_owner(|| db::write_on_rows_of(trigger, NOTE_FIRST));
    }
    let Images { old: Some(old), new: Some(new) } = Images::of(trigger)? else { return Ok(()) };
    let user = Principal::current().and_then(|principal| principal.user_id).map(to_pg);
    let arguments = [
        new.get::<pgrx::Uuid>("org_id")?.into(),
        new.get::<pgrx::Uuid>("id")?.into(),
        old.get::<pgrx::Uuid>("stage_id")?.into(),
        user.into(),
        old.get::<TimestampWithTimeZone>("stage_changed_at")?.into(),
    ];
    as_owner(|| db::write_prepared(NOTE_NEXT, &NOTE_NEXT_TYPES, &arguments, |_| Ok(())))
}

const NOTE_FIRST: &str = "insert into crm.deal_stage_changes
     (org_id, deal_id, to_stage_id, to_stage, changed_at, changed_by, owner_id)
     select d.org_id, d.id, s.id, s.name, coalesce(d.stage_changed_at, now()), d.created_by, d.owner_id
     from added as d
     join crm.pipeline_stages as s on s.org_id = d.org_id and s.id = d.stage_id";

const NOTE_NEXT: &str = "insert into crm.deal_stage_changes
     (org_id, deal_id, from_stage_id, from_stage, to_stage_id, to_stage, changed_at, changed_by, seconds_before, owner_id)
     select d.org_id, d.id, f.id, f.name, t.id, t.name, now(), $4, greatest(extract(epoch from now() - $5), 0)::bigint, d.owner_id
     from crm.deals as d
     join crm.pipeline_stages as t on t.org_id = d.org_id and t.id = d.stage_id
     left join crm.pipeline_stages as f on f.org_id = d.org_id and f.id = $3
     where d.org_id = $1 and d.id = $2";

const NOTE_NEXT_TYPES: [PgBuiltInOids; 5] = [
    PgBuiltInOids::UUIDOID,
    PgBuiltInOids::UUIDOID,
    PgBuiltInOids::UUIDOID,
    PgBuiltInOids::UUIDOID,
    PgBuiltInOids::TIMESTAMPTZOID,
];
