//! State machines: from which state a column may go to which. Pure.

use crate::text::Checked;

/// Where a row may begin.
const START: &str = "*";

#[derive(Clone, Debug, PartialEq)]
pub struct Steps(Vec<(String, Vec<String>)>);

impl Steps {
    /// `*:draft draft:sent sent:paid,void paid: void:`
    pub fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Checked<Self> {
        let mut steps: Vec<(String, Vec<String>)> = vec![];
        for word in words {
            let Some((from, to)) = word.split_once(':') else {
                return Err(format!("\"{word}\" is not like from:to,to").into());
            };
            if from.is_empty() || steps.iter().any(|(known, _)| known == from) {
                return Err(format!("\"{word}\": each state stands once before a colon").into());
            }
            let to = to.split(',').filter(|state| !state.is_empty()).map(str::to_owned).collect();
            steps.push((from.to_owned(), to));
        }
        let known = |state: &String| steps.iter().any(|(from, _)| from == state);
        match steps.iter().flat_map(|(_, to)| to).find(|state| !known(state)) {
            Some(state) => Err(format!("no steps are named for the state {state}").into()),
            None if !steps.iter().any(|(from, to)| from == START && !to.is_empty()) => {
                Err("\"*:state,state\" says where a row begins".into())
            }
            None => Ok(Self(steps)),
        }
    }

    /// Where one may go from a state, or for `None` begin.
    pub fn from(&self, state: Option<&str>) -> &[String] {
        let from = state.unwrap_or(START);
        self.0.iter().find(|(known, _)| known == from).map_or(&[], |(_, to)| to)
    }

    pub fn allow(&self, from: Option<&str>, to: &str) -> bool {
        from == Some(to) || self.from(from).iter().any(|state| state == to)
    }

    /// Every state there is.
    pub fn know(&self, state: &str) -> bool {
        state != START && self.0.iter().any(|(known, _)| known == state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(steps: &str) -> Checked<Steps> {
        Steps::parse(steps.split_ascii_whitespace())
    }

    #[test]
    fn a_state_leads_where_it_says() {
        let steps = parse("*:draft,sent draft:sent sent:paid,void paid: void:").unwrap();
        assert!(steps.allow(None, "draft") && steps.allow(None, "sent") && !steps.allow(None, "paid"));
        assert!(steps.allow(Some("draft"), "sent") && !steps.allow(Some("sent"), "draft"));
        assert!(steps.allow(Some("paid"), "paid"), "staying is no step");
        assert_eq!(steps.from(Some("sent")), ["paid", "void"]);
        assert_eq!(steps.from(Some("paid")), [""; 0]);
        assert!(steps.know("void") && !steps.know("*") && !steps.know("gone"));
    }

    #[test]
    fn what_is_no_state_machine_is_refused() {
        for bad in ["", "a:b b:", "*:a", "*: a:", "*:a a", "*:a a: a:", "*:a a:b", "*:a :b a:"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
