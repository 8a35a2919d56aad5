//! The lines of estimates and invoices: what each comes to, and what all of them come to.
//!
//! The document is locked before a line is written, and before core's own lock on it that is weaker: two transactions that
//! change lines of one document follow each other, and the second one's sums have the first one's lines in them.

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, AnyNumeric, PgBuiltInOids};

use super::{KEY, Kind, TOO_LARGE, organization_of};
use crate::access::permissions;
use crate::db::{self, restoring::is_restoring_record};
use crate::error::{CrmError, Result};
use crate::identity::principal::{from_pg, to_pg};
use crate::records::custom::raw::RawJson;
use crate::records::guard::by_foreign_key;
use crate::records::row::{self, Images, Row};
use crate::schema::is_restore;
use crate::text::decimal_places;

#[pg_trigger(sql = false)]
fn compute_line<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(computed(trigger))
}

fn computed(trigger: &PgTrigger) -> Result<Option<Row>> {
    let kind = Kind::of(trigger)?;
    let mut images = Images::of(trigger)?;
    // The owner's name passed on, or a draft deleted with its lines; a dump brings what was computed.
    if by_foreign_key(trigger) || is_restore() || is_restoring_record(trigger) {
        return Ok(images.unchanged());
    }
    if let Some(old) = &images.old {
        hold(kind, old)?;
    }
    if let Some(new) = &mut images.new
        && let Some(currency) = hold(kind, new)?
    {
        compute(new, decimal_places(&currency).into())?;
    }
    Ok(images.unchanged())
}

/// Locks the line's document, a draft, and tells its currency; nothing where the policies are going to refuse the line.
fn hold(kind: &Kind, line: &Row) -> Result<Option<String>> {
    let organization = organization_of(line)?;
    if !permissions::had_in(organization, &kind.update)? {
        return Ok(None);
    }
    let key = [organization.map(to_pg).into(), line.get::<pgrx::Uuid>(&kind.key)?.into()];
    let missing = || CrmError::invalid(&kind.key, format!("there is no such {}", kind.name));
    // Before it is locked: who does not see it must not learn by waiting that there is one.
    let owner = db::as_owner_of(c"crm", c"invoices", || {
        db::write_prepared(kind.look, &KEY, &key, |rows| {
            if rows.is_empty() { Ok(None) } else { Ok(Some(rows.first().get_one::<pgrx::Uuid>()?)) }
        })
    })?;
    if !permissions::reach(organization, &kind.read, owner.ok_or_else(missing)?.map(from_pg))? {
        return Err(missing());
    }
    let found = db::as_owner_of(c"crm", c"invoices", || {
        db::write_prepared(kind.lock, &KEY, &key, |rows| {
            if rows.is_empty() { Ok(None) } else { Ok(Some(rows.first().get_three::<String, String, pgrx::Uuid>()?)) }
        })
    })?;
    let owner = found.as_ref().and_then(|(_, _, owner)| owner.map(from_pg));
    match found {
        Some((Some(status), currency, _)) if permissions::reach(organization, &kind.read, owner)? => {
            if status == "draft" { Ok(currency) } else { Err(frozen(kind, status)) }
        }
        _ => Err(missing()),
    }
}

fn frozen(kind: &Kind, status: String) -> CrmError {
    CrmError::Frozen {
        column: kind.key.clone(),
        message: format!("the lines of {} that is {status} cannot be changed", kind.one),
        state: status,
        hint: kind.instead.into(),
    }
}

/// What is no number is left to the columns' constraints, which name the column.
fn compute(line: &mut Row, decimals: i32) -> Result<()> {
    let (Some(quantity), Some(price), Some(discount)) =
        (line.get::<AnyNumeric>("quantity")?, line.get("unit_price")?, line.get("discount_percent")?)
    else {
        return Ok(());
    };
    if [&quantity, &price, &discount].into_iter().any(AnyNumeric::is_nan) {
        return Ok(());
    }
    let (net, discount) = net_of(quantity, price, discount, decimals)?;
    line.set("line_total", net)?;
    line.set("discount_amount", discount)
}

/// Not divided by 100 but multiplied by a hundredth: that is exact.
fn net_of(
    quantity: AnyNumeric,
    price: AnyNumeric,
    discount: AnyNumeric,
    decimals: i32,
) -> Result<(Option<AnyNumeric>, Option<AnyNumeric>)> {
    const NUMERIC: PgBuiltInOids = PgBuiltInOids::NUMERICOID;
    db::select(
        // With the columns' own scale, as the same values have when they come back from a dump.
        "select net::numeric(19, 4), (gross - net)::numeric(19, 4)
         from (
             select round($1 * $2, $4) as gross, round($1 * $2 * (100 - $3) * 0.01, $4) as net
         ) as line
         where abs(gross) < 1e15 and abs(net) < 1e15 and abs(gross - net) < 1e15",
        &[NUMERIC, NUMERIC, NUMERIC, PgBuiltInOids::INT4OID],
        &[quantity.into(), price.into(), discount.into(), decimals.into()],
        |rows| if rows.is_empty() { Err(CrmError::invalid("line_total", TOO_LARGE)) } else { rows.first().get_two() },
    )
}

#[pg_trigger(sql = false)]
fn sum_lines<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(sum(trigger).map(|()| None))
}

/// Also where the sums stay the same: the document has other lines than before, so it has another version.
fn sum(trigger: &PgTrigger) -> Result<()> {
    if is_restore() {
        return Ok(());
    }
    let kind = Kind::of(trigger)?;
    db::as_owner_of(c"crm", c"invoices", || {
        let Documents { organizations, ids, decimals } = touched(trigger, kind)?;
        if ids.is_empty() {
            return Ok(());
        }
        let arrays = [PgBuiltInOids::UUIDARRAYOID, PgBuiltInOids::UUIDARRAYOID, PgBuiltInOids::INT4ARRAYOID];
        let beyond = db::write_prepared(
            kind.write_sums,
            &arrays,
            &[organizations.into(), ids.into(), decimals.into()],
            |rows| rows.first().get_one::<bool>(),
        )?;
        if beyond == Some(true) { Err(CrmError::invalid("total", TOO_LARGE)) } else { Ok(()) }
    })
}

#[derive(Default)]
struct Documents {
    organizations: Vec<pgrx::Uuid>,
    ids: Vec<pgrx::Uuid>,
    decimals: Vec<i32>,
}

/// Whose lines the statement added, removed, or changed in what they come to.
fn touched(trigger: &PgTrigger, kind: &Kind) -> Result<Documents> {
    let data = trigger.trigger_data();
    let lines = match (data.tg_oldtable.is_null(), data.tg_newtable.is_null()) {
        (true, _) => "select org_id, {document}_id as id from added",
        (_, true) => "select org_id, {document}_id as id from removed",
        _ => {
            "select n.org_id, of.id
             from removed as o
             join added as n on n.org_id = o.org_id and n.id = o.id
             cross join lateral (values (o.{document}_id), (n.{document}_id)) as of (id)
             where (o.{document}_id, o.line_total, o.discount_amount, o.tax_rate)
                 is distinct from (n.{document}_id, n.line_total, n.discount_amount, n.tax_rate)"
        }
    };
    // A document that was sent comes back with its sums.
    let condition = if is_restoring_record(trigger) { "where d.status = 'draft'" } else { "" };
    let query = format!(
        "select distinct d.org_id, d.id, d.currency
         from ({lines}) as touched
         join crm.{{document}}s as d on d.org_id = touched.org_id and d.id = touched.id
         {condition}
         order by d.org_id, d.id"
    );
    let mut documents = Documents::default();
    db::select_from_transition(trigger, &query.replace("{document}", kind.name), |rows| {
        for document in rows {
            if let (Some(organization), Some(id), Some(currency)) =
                (document.get(1)?, document.get(2)?, document.get::<String>(3)?)
            {
                documents.organizations.push(organization);
                documents.ids.push(id);
                documents.decimals.push(decimal_places(&currency).into());
            }
        }
        Ok(())
    })?;
    Ok(documents)
}

/// Tax is computed on the sum of the lines of each rate, not line by line, as EN 16931 has it (BR-CO-17).
const SUMMED: &str = "
    with per_rate as (
        select k.org_id, k.id, i.tax_rate as rate, sum(i.line_total) as net, sum(i.discount_amount) as discount,
            round(sum(i.line_total) * i.tax_rate * 0.01, k.decimals) as tax, k.decimals
        from unnest($1, $2, $3) as k (org_id, id, decimals)
        left join crm.{document}_items as i on i.org_id = k.org_id and i.{document}_id = k.id
        group by k.org_id, k.id, k.decimals, i.tax_rate
    ),
    summed as (
        select org_id, id, coalesce(sum(net), 0) as subtotal, coalesce(sum(discount), 0) as discount_total,
            coalesce(sum(tax), 0) as tax_total, coalesce(
                jsonb_agg(jsonb_build_object('rate', trim_scale(rate), 'net', round(net, decimals), 'tax', tax) order by rate)
                    filter (where rate is not null),
                '[]'
            ) as taxes
        from per_rate
        group by org_id, id
    )";

/// Gives whether a document's amounts do not fit.
const WRITE_SUMS: &str = ",
    fitting as (
        select *
        from summed
        where greatest(abs(subtotal), abs(discount_total), abs(tax_total), abs(subtotal + tax_total)) < 1e15
    ),
    written as (
        update crm.{document}s as d
        set subtotal = f.subtotal, discount_total = f.discount_total, tax_total = f.tax_total,
            total = f.subtotal + f.tax_total, taxes = f.taxes
        from fitting as f
        where d.org_id = f.org_id and d.id = f.id
    )
    select (select count(*) from fitting) < (select count(*) from summed)";

/// As the columns have them.
const READ_SUMS: &str = "
    select subtotal::numeric(19, 4), discount_total::numeric(19, 4), tax_total::numeric(19, 4),
        (subtotal + tax_total)::numeric(19, 4), taxes
    from summed";

pub fn write_sums(document: &str) -> String {
    format!("{SUMMED}{WRITE_SUMS}").replace("{document}", document)
}

pub fn read_sums(document: &str) -> String {
    format!("{SUMMED}{READ_SUMS}").replace("{document}", document)
}

/// Sets a document's sums to what its lines come to.
pub fn sum_anew(kind: &Kind, document: &mut Row) -> Result<()> {
    const ARRAYS: [PgBuiltInOids; 3] =
        [PgBuiltInOids::UUIDARRAYOID, PgBuiltInOids::UUIDARRAYOID, PgBuiltInOids::INT4ARRAYOID];
    let [organization, id] = ["org_id", "id"].map(|column| document.get::<pgrx::Uuid>(column));
    let decimals = document.get::<String>("currency")?.map(|currency| i32::from(decimal_places(&currency)));
    let key = [vec![organization?].into(), vec![id?].into(), vec![decimals].into()];
    let (amounts, taxes) = db::as_owner_of(c"crm", c"invoices", || {
        db::write_prepared(kind.read_sums, &ARRAYS, &key, |rows| {
            let sums = rows.first();
            let amounts = (1..=4).map(|column| sums.get::<AnyNumeric>(column)).collect::<Result<Vec<_>, _>>()?;
            Ok((amounts, sums.get::<RawJson>(5)?))
        })
    })?;
    SUMS.iter().zip(amounts).try_for_each(|(column, amount)| document.set(column, amount))?;
    document.set("taxes", taxes)
}

/// A draft begins with no lines, and so with no sums; also one that comes back, whose lines come after it.
pub fn begin_sums(document: &mut Row) -> Result<()> {
    SUMS.iter().chain(&["taxes"]).try_for_each(|column| document.set_default(column))
}

const SUMS: [&str; 4] = ["subtotal", "discount_total", "tax_total", "total"];
