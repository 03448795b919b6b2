//! The page itself, in the text format of Prometheus ("Exposition formats", text-based format 0.0.4).
//!
//! A family is written whole, with the words of `metrics.tsv` before it. Label values are escaped, whoever chose them.

use core::fmt::{Display, Write as _};

use store::measure::Histogram;

/// Every metric: its name, kind, labels and meaning.
const TABLE: &str = include_str!("metrics.tsv");

/// The `Content-Type` of the page.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Labels with their values.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// A page in the making.
#[derive(Debug, Default)]
pub(super) struct Page(String);

/// One metric with all its values.
pub(super) struct Family<'a> {
    name: &'static str,
    text: &'a mut String,
}

impl Page {
    /// Begins a metric.
    pub(super) fn family(&mut self, name: &'static str) -> Family<'_> {
        let (kind, meaning) = described(name).unwrap_or(("untyped", ""));
        let _ = write!(self.0, "# HELP {name} {meaning}\n# TYPE {name} {kind}\n");
        Family {
            name,
            text: &mut self.0,
        }
    }

    /// A metric with one value and no labels.
    pub(super) fn value(&mut self, name: &'static str, value: impl Display) {
        self.family(name).value(&[], value);
    }

    /// A histogram without labels, of microseconds.
    pub(super) fn times(&mut self, name: &'static str, histogram: &Histogram) {
        self.family(name).times(&[], histogram);
    }

    /// A histogram without labels, of plain numbers.
    pub(super) fn sizes(&mut self, name: &'static str, histogram: &Histogram) {
        self.family(name).histogram(&[], histogram, 1);
    }

    /// All that was written.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// One value.
    pub(super) fn value(&mut self, labels: Labels<'_>, value: impl Display) {
        self.line("", labels, None, value);
    }

    /// A histogram of microseconds, written in seconds.
    pub(super) fn times(&mut self, labels: Labels<'_>, histogram: &Histogram) {
        self.histogram(labels, histogram, 1_000_000);
    }

    fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram, parts_per_unit: u64) {
        for (bound, count) in histogram.cumulative() {
            let bound = in_units(bound, parts_per_unit);
            self.line("_bucket", labels, Some(&bound), count);
        }
        self.line("_bucket", labels, Some("+Inf"), histogram.count());
        self.line("_sum", labels, None, in_units(histogram.sum(), parts_per_unit));
        self.line("_count", labels, None, histogram.count());
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Display) {
        let text = &mut *self.text;
        let _ = write!(text, "{}{suffix}", self.name);
        let all = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        for (index, (label, value)) in all.enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(text, "{label}=\"");
            escape(text, value);
            text.push('"');
        }
        if !labels.is_empty() || bound.is_some() {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }
}

/// A number of parts in whole units, exactly.
fn in_units(parts: u64, parts_per_unit: u64) -> String {
    match (parts / parts_per_unit, parts % parts_per_unit) {
        (whole, 0) => whole.to_string(),
        (whole, rest) => {
            let digits = format!("{whole}.{rest:06}");
            digits.trim_end_matches('0').to_owned()
        }
    }
}

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

/// Kind and meaning of a metric.
fn described(name: &str) -> Option<(&'static str, &'static str)> {
    TABLE.lines().skip(1).find_map(|line| {
        let mut fields = line.split('\t');
        let is_it = fields.next() == Some(name);
        let (kind, _labels, meaning) = (fields.next()?, fields.next()?, fields.next()?);
        is_it.then_some((kind, meaning))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_its_words_and_all_its_values() {
        let mut page = Page::default();
        page.value("birthmark_shards", 2);
        let mut family = page.family("birthmark_refusals_total");
        family.value(&[("code", "a\"b\\c\nd")], 1);
        let text = page.into_text();
        assert!(text.starts_with("# HELP birthmark_shards shards that this server runs\n# TYPE birthmark_shards gauge\nbirthmark_shards 2\n"));
        assert!(
            text.ends_with("birthmark_refusals_total{code=\"a\\\"b\\\\c\\nd\"} 1\n"),
            "{text}"
        );
    }

    #[test]
    fn microseconds_are_written_as_seconds() {
        let mut histogram = Histogram::new(&[50, 2_500_000]);
        [7, 1_000_000, 9_000_000]
            .into_iter()
            .for_each(|value| histogram.note(value));
        let mut page = Page::default();
        page.times("birthmark_api_request_seconds", &histogram);
        let lines: Vec<_> = page.into_text().lines().skip(2).map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "birthmark_api_request_seconds_bucket{le=\"0.00005\"} 1",
                "birthmark_api_request_seconds_bucket{le=\"2.5\"} 2",
                "birthmark_api_request_seconds_bucket{le=\"+Inf\"} 3",
                "birthmark_api_request_seconds_sum 10.000007",
                "birthmark_api_request_seconds_count 3",
            ]
        );
    }
}
