//! What the table files declare: the doctor looks whether it is there. Pure.

use serde_json::{Map, Value, json};

/// Tables by name; triggers, policies and indexes as `{relation, name, statement}`; by table how it is enrolled, and what it is
/// that gives it history.
#[derive(Debug, Default, PartialEq)]
pub struct Declared {
    pub tables: Vec<String>,
    pub triggers: Vec<Value>,
    pub policies: Vec<Value>,
    pub indexes: Vec<Value>,
    pub histories: Vec<History>,
    pub enrollments: Map<String, Value>,
}

/// A call of `crm_private.keep_history`.
#[derive(Debug, PartialEq)]
pub struct History {
    pub table: String,
    pub resource: String,
    pub secrets: Vec<String>,
}

impl Declared {
    pub fn of<'a>(files: impl Iterator<Item = &'a str>) -> Self {
        let mut declared = Self::default();
        for statement in files.flat_map(statements) {
            declared.note(statement);
        }
        declared
    }

    fn note(&mut self, statement: &str) {
        let words: Vec<_> = statement.split_whitespace().collect();
        match words.as_slice() {
            ["create", "table", name, ..] => self.tables.push((*name).to_owned()),
            ["create", "trigger", name, rest @ ..] | ["create", "constraint", "trigger", name, rest @ ..] => {
                if let Some(at) = rest.iter().position(|word| *word == "on") {
                    self.triggers.extend(rest.get(at + 1).map(|relation| part(relation, name, statement)));
                }
            }
            ["create", "policy", name, "on", relation, ..] => self.policies.push(part(relation, name, statement)),
            ["create", "index", name, "on", relation, ..] | ["create", "unique", "index", name, "on", relation, ..] => {
                self.indexes.push(part(relation, name, statement));
            }
            ["select", call, ..] if call.starts_with("crm_private.keep_history(") => {
                self.histories.extend(History::of(statement));
            }
            ["select", call, ..] if call.starts_with("crm.enroll(") => {
                if let Some(table) = statement.split('\'').nth(1) {
                    self.enrollments.insert(table.to_owned(), statement.into());
                }
            }
            _ => {}
        }
    }
}

fn part(relation: &str, name: &str, statement: &str) -> Value {
    json!({ "relation": relation, "name": name, "statement": statement })
}

impl History {
    fn of(call: &str) -> Option<Self> {
        let mut given = call.split('\'').skip(1).step_by(2);
        let (table, resource) = (given.next()?.to_owned(), given.next()?.to_owned());
        let secrets = given.next().map_or("", |list| list.trim_matches(['{', '}']));
        let secrets = secrets.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Some(Self { table, resource, secrets })
    }
}

/// The statements of a script, without comments before them. A semicolon inside of quotes ends none.
fn statements(script: &str) -> Vec<&str> {
    let (mut found, mut start, mut at) = (vec![], 0, 0);
    while let Some(rest) = script.get(at..).filter(|rest| !rest.is_empty()) {
        let is_between = script.get(start..at).is_some_and(|before| before.trim().is_empty());
        let skip = match rest {
            _ if rest.starts_with("--") => {
                let end = rest.find('\n').unwrap_or(rest.len());
                if is_between {
                    start = at + end;
                }
                end
            }
            _ if rest.starts_with("$$") => 2 + rest.get(2..).and_then(|rest| rest.find("$$")).map_or(0, |end| end + 2),
            _ if rest.starts_with('\'') => 1 + rest.get(1..).and_then(|rest| rest.find('\'')).map_or(0, |end| end + 1),
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        if rest.starts_with(';') {
            found.extend(script.get(start..at).map(str::trim));
            start = at + 1;
        }
        at += skip;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_semicolon_in_quotes_or_comments_ends_no_statement() {
        let script = "-- one; two\nselect 'a;''b'; do $$ x; y; $$;\n-- end; \nselect -- not;\n 1;";
        assert_eq!(statements(script), ["select 'a;''b'", "do $$ x; y; $$", "select -- not;\n 1"]);
    }

    #[test]
    fn policies_indexes_and_histories_are_told() {
        let script = "create policy a_select on crm.a for select to crm_app using (true);
            create unique index a_idx on crm.a (b) where c is null;
            create index on_idx\n on crm.a (b);
            select crm_private.keep_history('crm.a', 'as');
            select crm_private.keep_history('crm.b', 'bs', '{c,d}');";
        let declared = Declared::of([script].into_iter());
        let names = |parts: &[Value]| parts.iter().map(|one| one["name"].clone()).collect::<Vec<_>>();
        assert_eq!(names(&declared.policies), ["a_select"]);
        assert_eq!(names(&declared.indexes), ["a_idx", "on_idx"]);
        let history = |table: &str, resource: &str, secrets: &[&str]| History {
            table: table.into(),
            resource: resource.into(),
            secrets: secrets.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(declared.histories, [history("crm.a", "as", &[]), history("crm.b", "bs", &["c", "d"])]);
    }

    #[test]
    fn tables_triggers_and_enrollments_are_told_by_name() {
        let script = "create table crm.things (a text default ';');
            create trigger _1_x after update\n on crm.things for each row execute function crm_private.x();
            select crm.enroll('crm.things', array['a line']);
            create constraint trigger _2_y after insert on crm.things deferrable execute function y();";
        let declared = Declared::of([script].into_iter());
        assert_eq!(declared.tables, ["crm.things"]);
        let triggers: Vec<_> = declared.triggers.iter().map(|one| (&one["relation"], &one["name"])).collect();
        let relation = json!("crm.things");
        assert_eq!(triggers, [(&relation, &json!("_1_x")), (&relation, &json!("_2_y"))]);
        assert_eq!(declared.enrollments["crm.things"], "select crm.enroll('crm.things', array['a line'])");
    }
}
