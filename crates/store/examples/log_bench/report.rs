//! Medians over the rounds, as a table and as JSON.

use std::time::Duration;

/// Time per append in one round.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) bare: Duration,
    pub(crate) interlock_one: Duration,
    pub(crate) interlock_many: Duration,
    pub(crate) ideal_one: Duration,
    pub(crate) ideal_many: Duration,
    pub(crate) raft_log_one: Duration,
    pub(crate) raft_log_many: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) rounds: Vec<Figures>,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

impl Report {
    fn of(&self, figure: impl Fn(&Figures) -> f64) -> f64 {
        median(self.rounds.iter().map(figure).collect())
    }

    /// Each round's ratio by itself: its contestants met the same disk.
    fn ratio(&self, of: impl Fn(&Figures) -> Duration, to: impl Fn(&Figures) -> Duration) -> f64 {
        self.of(|figures| of(figures).as_secs_f64() / to(figures).as_secs_f64())
    }

    pub(crate) fn json(&self) -> String {
        let per_second = |figure: fn(&Figures) -> Duration| 1e6 / self.of(|figures| micros(figure(figures)));
        format!(
            "{{\"rounds\":{},\"bare_us\":{:.1},\"one_us\":{:.1},\"one_ratio\":{:.3},\"ideal_64_per_s\":{:.0},\
             \"many_64_per_s\":{:.0},\"many_64_ratio\":{:.3},\"raft_log_one_us\":{:.1},\"raft_log_64_per_s\":{:.0}}}",
            self.rounds.len(),
            self.of(|figures| micros(figures.bare)),
            self.of(|figures| micros(figures.interlock_one)),
            self.ratio(|figures| figures.interlock_one, |figures| figures.bare),
            per_second(|figures| figures.ideal_many),
            per_second(|figures| figures.interlock_many),
            self.ratio(|figures| figures.interlock_many, |figures| figures.ideal_many),
            self.of(|figures| micros(figures.raft_log_one)),
            per_second(|figures| figures.raft_log_many),
        )
    }

    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{:<30} {:>14} {:>10} {:>16} {:>10}\n",
            "", "1 writer, us", "to bare", "64 writers, /s", "to ideal"
        );
        let bare = self.of(|figures| micros(figures.bare));
        text += &format!(
            "{:<30} {bare:>14.1} {:>10.2} {:>16} {:>10}\n",
            "bare append + fdatasync", 1.0, "-", "-"
        );
        type Figure = fn(&Figures) -> Duration;
        let rows: [(&str, Figure, Figure); 3] = [
            ("ideal coalescing loop", |figures| figures.ideal_one, |figures| figures.ideal_many),
            ("interlock", |figures| figures.interlock_one, |figures| figures.interlock_many),
            ("raft-log 0.4.6", |figures| figures.raft_log_one, |figures| figures.raft_log_many),
        ];
        for (name, one, many) in rows {
            let us = self.of(|figures| micros(one(figures)));
            let per_second = 1e6 / self.of(|figures| micros(many(figures)));
            let to_bare = self.ratio(one, |figures| figures.bare);
            let to_ideal = self.ratio(many, |figures| figures.ideal_many);
            text += &format!("{name:<30} {us:>14.1} {to_bare:>10.2} {per_second:>16.0} {to_ideal:>10.2}\n");
        }
        text + &format!("medians of {} rounds\n", self.rounds.len())
    }
}
