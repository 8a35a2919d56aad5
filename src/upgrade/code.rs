//! The functions of this version in place of those of before: the texts that install them are run again. Rights that a superuser
//! has given or taken since the installation stay given and taken: where registration was closed, an update does not open it.

use std::collections::HashSet;

use pgrx::PgBuiltInOids;
use pgrx::prelude::*;

use crate::db;
use crate::error::Result;
use crate::schema::{Apart, CODE_FILES};

/// Where the library is, as the control file says.
const MODULE: &str = "$libdir/crm_ext";

const CREATE: &str = "create function ";
const REVOKE: &str = "revoke all on function ";

/// One function of a file, with the rights and the comment that follow it.
struct Function<'a> {
    create: &'a str,
    /// As `REVOKE` names it.
    signature: &'a str,
    rest: &'a str,
}

/// The parts of a file: what stands before its first function, and its functions.
fn parse(text: &str) -> (&str, Vec<Function<'_>>) {
    let mut starts: Vec<_> = text.match_indices(CREATE).map(|(at, _)| at).filter(|at| begins_line(text, *at)).collect();
    let head = &text[..starts.first().copied().unwrap_or(text.len())];
    starts.push(text.len());
    (head, starts.windows(2).filter_map(|range| Function::parse(&text[range[0]..range[1]])).collect())
}

fn begins_line(text: &str, at: usize) -> bool {
    at == 0 || text.as_bytes()[at - 1] == b'\n'
}

impl<'a> Function<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (create, rest) = text.split_at(text.find(&format!("\n{REVOKE}"))?);
        let signature = rest.trim_start().strip_prefix(REVOKE)?.split(" from public;").next()?;
        Some(Self { create, signature, rest })
    }

    /// In the place of the one that is there, if any. Names of arguments, and what it returns, only change with a new one.
    fn replace(&self) -> Result<()> {
        let create = self.create.replace("MODULE_PATHNAME", MODULE);
        let replace = create.replacen(CREATE, "create or replace function ", 1);
        let signature = self.signature;
        db::run(&format!(
            "do $upgrade$ begin
                {replace}
            exception when invalid_function_definition then
                drop function {signature};
                {create}
            end $upgrade$"
        ))?;
        self.take_all_rights()?;
        db::run(self.rest)
    }

    /// Those of before, and those that default privileges give to what is new.
    fn take_all_rights(&self) -> Result<()> {
        let revoke = db::select(
            "select string_agg(format('revoke all on function %s from %s', p.oid::regprocedure,
                 case a.grantee when 0 then 'public' else a.grantee::regrole::text end), '; ')
             from pg_catalog.pg_proc as p
             cross join lateral pg_catalog.aclexplode(p.proacl) as a
             where p.oid = to_regprocedure($1) and a.grantee <> p.proowner",
            &[PgBuiltInOids::TEXTOID],
            &[self.signature.into()],
            |rows| rows.first().get_one::<String>(),
        )?;
        db::run(&revoke.unwrap_or_default())
    }
}

pub fn replace() -> Result<()> {
    for (_, text) in CODE_FILES {
        let (head, functions) = parse(text);
        db::run(head)?;
        functions.iter().try_for_each(Function::replace)?;
    }
    Ok(())
}

/// The functions that this version has no more, where nothing depends on them.
pub fn drop_what_is_gone() -> Result<()> {
    let declared: HashSet<_> = CODE_FILES
        .iter()
        .flat_map(|(_, text)| parse(text).1)
        .map(|function| oid_of(function.signature))
        .collect::<Result<_>>()?;
    for (oid, name, is_needed) in members()? {
        if declared.contains(&oid) {
            continue;
        }
        if is_needed {
            warning!("{name} is no function of this version, and stays because other objects depend on it");
        } else {
            db::run(&format!("drop function {name}"))?;
        }
    }
    Ok(())
}

fn oid_of(signature: &str) -> Result<u32> {
    db::select("select to_regprocedure($1)::oid", &[PgBuiltInOids::TEXTOID], &[signature.into()], |rows| {
        Ok(rows.first().get_one::<pg_sys::Oid>()?.map_or(0, pg_sys::Oid::to_u32))
    })
}

/// The functions of the extension, with their names and whether anything depends on them.
fn members() -> Result<Vec<(u32, String, bool)>> {
    db::select(
        "select p.oid, p.oid::regprocedure::text, exists (
             select from pg_catalog.pg_depend as o
             where o.refclassid = 'pg_catalog.pg_proc'::regclass and o.refobjid = p.oid
         )
         from pg_catalog.pg_proc as p
         join pg_catalog.pg_depend as d
             on d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
         join pg_catalog.pg_extension as e
             on d.refclassid = 'pg_catalog.pg_extension'::regclass and d.refobjid = e.oid and e.extname = 'crm_ext'
         order by 2",
        &[],
        &[],
        |rows| {
            let mut members = vec![];
            for row in rows {
                if let (Some(oid), Some(name), Some(is_needed)) = (row.get::<pg_sys::Oid>(1)?, row.get(2)?, row.get(3)?)
                {
                    members.push((oid.to_u32(), name, is_needed));
                }
            }
            Ok(members)
        },
    )
}

/// What a superuser, or the owner of the schemas, has given or taken since the installation: statements, each with the
/// function it is about.
pub struct Rights(Vec<(String, String)>);

impl Rights {
    pub fn given_by_others() -> Result<Self> {
        let given = db::select(GIVEN_BY_OTHERS, &[], &[], |rows| {
            let mut given = vec![];
            for row in rows {
                if let (Some(function), Some(statement)) = (row.get(1)?, row.get(2)?) {
                    given.push((function, statement));
                }
            }
            Ok(given)
        })?;
        Ok(Self(given))
    }

    /// Apart from the extension: a dump has them, as before.
    pub fn give_again(&self) -> Result<()> {
        let _apart = Apart::from_the_extension();
        for (function, statement) in &self.0 {
            if function.is_empty() || oid_of(function)? != 0 {
                db::run(statement)?;
            }
        }
        Ok(())
    }
}

/// Where the rights are not those that the extension's script left behind.
const GIVEN_BY_OTHERS: &str = "
    with members as (
        select 'function ' || p.oid::regprocedure as name, p.oid::regprocedure::text as function, p.proowner as owner,
            coalesce(p.proacl, acldefault('f', p.proowner)) as rights, i.initprivs as first
        from pg_catalog.pg_proc as p
        join pg_catalog.pg_depend as d
            on d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
        join pg_catalog.pg_extension as e
            on d.refclassid = 'pg_catalog.pg_extension'::regclass and d.refobjid = e.oid and e.extname = 'crm_ext'
        join pg_catalog.pg_init_privs as i on i.classoid = 'pg_catalog.pg_proc'::regclass and i.objoid = p.oid
        union all
        select format('schema %I', n.nspname), '', n.nspowner, n.nspacl, i.initprivs
        from pg_catalog.pg_namespace as n
        join pg_catalog.pg_init_privs as i on i.classoid = 'pg_catalog.pg_namespace'::regclass and i.objoid = n.oid
        where n.nspname in ('crm', 'crm_private')
    ),
    changes as (
        select m.name, m.function, m.owner, 'grant' as change, a.grantee, a.privilege_type, a.is_grantable
        from members as m cross join lateral aclexplode(m.rights) as a
        where not exists (
            select from aclexplode(m.first) as f
            where (f.grantee, f.privilege_type, f.is_grantable) = (a.grantee, a.privilege_type, a.is_grantable)
        )
        union all
        select m.name, m.function, m.owner, 'revoke', f.grantee, f.privilege_type, false
        from members as m cross join lateral aclexplode(m.first) as f
        where not exists (
            select from aclexplode(m.rights) as a where (a.grantee, a.privilege_type) = (f.grantee, f.privilege_type)
        )
    )
    select function, format('%s %s on %s %s %s%s', change, privilege_type, name, case change when 'grant' then 'to' else 'from' end,
        case grantee when 0 then 'public' else grantee::regrole::text end, case when is_grantable then ' with grant option' end)
    from changes
    where grantee <> owner";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_found_with_its_signature() {
        for (name, text) in CODE_FILES {
            let functions = parse(text).1;
            assert_eq!(functions.len(), text.matches("create function").count(), "{name}");
            for function in functions {
                let name = function.signature.split('(').next().unwrap();
                assert!(function.create.starts_with(&format!("{CREATE}{name}(")), "{name}");
                assert!(function.create.trim_end().ends_with("_wrapper';"), "{name}");
                assert!(function.rest.contains(&format!("comment on function {} is", function.signature)), "{name}");
            }
        }
    }

    #[test]
    fn what_is_no_function_is_run_as_it_stands() {
        let (head, functions) = parse("-- create function x\ndo $$ begin end $$;\n");
        assert!(head.ends_with("$$;\n") && functions.is_empty());
    }
}
