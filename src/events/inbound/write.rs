//! Writes the record that an event becomes, as whoever sent the event: under their permissions and policies, by every trigger.

use std::hash::{DefaultHasher, Hash, Hasher};

use pgrx::pg_sys;
use pgrx::spi::quote_identifier;
use uuid::Uuid;

use super::mapping::{Value, Values, text_of};
use super::rule::Wanted;
use super::target::Target;
use crate::access::permissions::{Holder, Permissions};
use crate::db::{self, locks};
use crate::error::{CrmError, Result};
use crate::identity::principal::{from_pg, to_pg};
use crate::records::custom::object::Object;

/// Who sends the event.
pub struct Sender<'a> {
    pub holder: Holder,
    pub permissions: &'a Permissions,
}

impl Sender<'_> {
    pub fn organization(&self) -> Uuid {
        self.holder.organization()
    }

    fn may(&self, permission: &str) -> bool {
        self.permissions.scope(permission).is_some()
    }
}

/// Adds the record, or updates the one that is there already. Gives its id.
pub fn write(sender: &Sender, target: &Target, wanted: Wanted) -> Result<Uuid> {
    let organization = sender.organization();
    let mut values = target.fit(wanted.values)?;
    let found = match wanted.match_on.as_slice() {
        [] => None,
        match_on if may_look(sender, target)? => {
            normalize(target, match_on, &mut values)?;
            one_after_another(target, organization, match_on, &values);
            find(target, organization, match_on, &values, wanted.only)?
        }
        _ => None,
    };
    match found {
        Some(id) => update(target, organization, id, values),
        None => insert(target, organization, values),
    }
}

/// Who may only add records adds one with each event; who may change them, but not see which there are, means something else.
fn may_look(sender: &Sender, target: &Target) -> Result<bool> {
    let resource = target.subject.resource();
    let [read, update] = ["read", "update"].map(|action| format!("{resource}.{action}"));
    match (sender.may(&read), sender.may(&update)) {
        (true, _) => Ok(true),
        (false, false) => Ok(false),
        (false, true) => {
            let what = if sender.holder.user().is_some() { "role" } else { "key" };
            Err(CrmError::forbidden(format!(
                "your {what} does not permit {read}, which it takes to find what is there already"
            )))
        }
    }
}

/// Brings the values by which a record is found into the form that is stored.
fn normalize(target: &Target, match_on: &[String], values: &mut Values) -> Result<()> {
    for column in match_on {
        let Some(rule) = target.subject.text_rule(column) else { continue };
        let Some(text) = values.get(column).and_then(|value| text_of(&value.json)) else { continue };
        let stored = rule.apply(&text, None).map_err(|problem| CrmError::invalid(column, problem))?;
        if let Some(text) = stored.value {
            values.insert(column.clone(), Value::of(serde_json::Value::from(text).to_string()));
        }
    }
    Ok(())
}

/// Two events about the same record would both find none.
fn one_after_another(target: &Target, organization: Uuid, match_on: &[String], values: &Values) {
    /// Nobody else's on tables of records.
    const KIND: u16 = 20;
    let mut hash = DefaultHasher::new();
    organization.hash(&mut hash);
    for column in match_on {
        (column, values.get(column).map(|value| &value.json)).hash(&mut hash);
    }
    locks::lock(target.subject.oid(), hash.finish() as u32, KIND, pg_sys::ExclusiveLock);
}

fn find(
    target: &Target,
    organization: Uuid,
    match_on: &[String],
    values: &Values,
    only: Option<&str>,
) -> Result<Option<Uuid>> {
    let table = &target.subject.table;
    let key = quote_identifier(target.subject.key());
    let conditions = match_on.iter().map(|column| {
        let column = quote_identifier(column);
        format!("t.{column} = (select r.{column} from json_populate_record(null::{table}, $2::json) as r)")
    });
    let conditions: Vec<_> = conditions.chain(only.map(str::to_owned)).collect();
    // The latest: ids grow with time.
    let query = format!(
        "select t.{key} from {table} as t where t.org_id = $1 and {} order by t.{key} desc limit 1",
        conditions.join(" and ")
    );
    let arguments = [to_pg(organization).into(), image(values).into()];
    db::as_caller(|| {
        db::at_latest(|| {
            db::select_once(&query, &arguments, |rows| Ok(rows.first().get_one::<pgrx::Uuid>()?.map(from_pg)))
        })
    })
}

fn insert(target: &Target, organization: Uuid, values: Values) -> Result<Uuid> {
    let (table, id) = (&target.subject.table, Uuid::now_v7());
    let columns = quoted(&values);
    let taken = columns.iter().map(|column| format!(", r.{column}")).collect::<String>();
    let named = columns.iter().map(|column| format!(", {column}")).collect::<String>();
    // The id is given: who may not read the table gets none returned.
    let statement = format!(
        "insert into {table} (org_id, {}{named}) select $1, $2{taken} from json_populate_record(null::{table}, $3::json) as r",
        quote_identifier(target.subject.key())
    );
    let arguments = [to_pg(organization).into(), to_pg(id).into(), image(&values).into()];
    db::as_caller(|| db::execute(&statement, &arguments))?;
    Ok(id)
}

fn update(target: &Target, organization: Uuid, id: Uuid, mut values: Values) -> Result<Uuid> {
    values.retain(|_, value| !value.is_stopgap);
    let table = &target.subject.table;
    let sets: Vec<_> = quoted(&values)
        .into_iter()
        .map(|column| match column.as_str() {
            // What people tagged it with stays.
            "tags" => "tags = (select array_agg(distinct tag) from unnest(t.tags || r.tags) as tag)".into(),
            _ => format!("{column} = r.{column}"),
        })
        .collect();
    let statement = format!(
        "update {table} as t set {} from json_populate_record(null::{table}, $3::json) as r where t.org_id = $1 and t.{} = $2",
        sets.join(", "),
        quote_identifier(target.subject.key())
    );
    let arguments = [to_pg(organization).into(), to_pg(id).into(), image(&values).into()];
    match db::as_caller(|| db::execute(&statement, &arguments))? {
        0 => Err(CrmError::forbidden("the record is out of your reach, or somebody is changing it")),
        _ => Ok(id),
    }
}

fn quoted(values: &Values) -> Vec<String> {
    values.keys().map(quote_identifier).collect()
}

fn image(values: &Values) -> String {
    Object(values.iter().map(|(column, value)| (column.clone(), value.json.clone())).collect()).to_text()
}
