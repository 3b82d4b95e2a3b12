"""Says when cron patterns tick, a question and an answer of JSON in each line.

{"zone": z, "patterns": [p, ...]}: by brute force. Around each change of the zone's clock it looks at one minute after the other
(one second where a pattern has six fields) and asks what the clock shows, by the rules that the generator's docs state.
{"zone": z, "cronsim": p}: all ticks of twenty years as the package cronsim has them.
"""

import json
import sys
import zoneinfo
from datetime import datetime, timedelta, timezone

from cronsim import CronSim

# The package tzdata, and not what the system has.
zoneinfo.reset_tzpath(to=[])

BEGIN = datetime(2020, 1, 1, tzinfo=timezone.utc)
END = datetime(2040, 1, 1, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def changes(zone):
    """The hours in which the offset changes."""
    at, offset = BEGIN, BEGIN.astimezone(zone).utcoffset()
    while at < END:
        at += 6 * HOUR
        now = at.astimezone(zone).utcoffset()
        if now != offset:
            hour = at - 6 * HOUR
            while (hour + HOUR).astimezone(zone).utcoffset() == offset:
                hour += HOUR
            yield hour
            offset = now


def values(field, least, most):
    found = set()
    for part in field.split(","):
        part, _, step = part.partition("/")
        first, _, last = (f"{least}-{most}" if part == "*" else part).partition("-")
        found.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


class Pattern:
    def __init__(self, text):
        self.text = text
        fields = text.split()
        self.step = timedelta(seconds=1) if len(fields) == 6 else timedelta(minutes=1)
        fields = ["0", *fields][-6:]
        self.fixed = not fields[1].startswith("*") and not fields[2].startswith("*")
        self.both = fields[3].startswith("*") or fields[5].startswith("*")
        limits = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
        self.sets = [values(field, *limit) for field, limit in zip(fields, limits)]

    def shown(self, local):
        second, minute, hour, day, month, weekday = self.sets
        if local.minute not in minute or local.hour not in hour or local.second not in second:
            return False
        if local.month not in month:
            return False
        days = local.day in day, local.isoweekday() in weekday or local.isoweekday() % 7 in weekday
        return all(days) if self.both else any(days)

    def ticks(self, minutes):
        for at, local, fold, skipped in minutes:
            # In the second pass of an hour `fold` is set.
            if self.shown(local) and not (self.fixed and fold):
                yield at
            elif self.fixed and any(map(self.shown, skipped)):
                yield at


def minutes(zone, begin, end, step):
    """What the clock shows at each, whether it shows it again, and what it never showed before it."""
    at, before = begin, (begin - step).astimezone(zone).replace(tzinfo=None)
    while at < end:
        aware = at.astimezone(zone)
        local = aware.replace(tzinfo=None, fold=0)
        skipped = []
        while (before := before + step) < local:
            skipped.append(before)
        yield int(at.timestamp()), local, aware.fold, skipped
        at, before = at + step, local


def by_force(zone, patterns):
    answer = []
    around = list(changes(zone)) or [BEGIN + timedelta(days=day) for day in range(0, 7300, 365)]
    patterns = [Pattern(text) for text in patterns]
    for number, hour in enumerate(around):
        # Each second is many, so that is done for four changes.
        for step, hours in [(timedelta(minutes=1), 5), (timedelta(seconds=1), 2.5)][: 2 if number < 4 else 1]:
            begin, end = hour - hours * HOUR / 2, hour + hours * HOUR / 2
            shown = list(minutes(zone, begin, end, step))
            window = [int(begin.timestamp()), int(end.timestamp())]
            for pattern in patterns:
                if pattern.step == step:
                    answer.append({"pattern": pattern.text, "window": window, "ticks": list(pattern.ticks(shown))})
    return answer


def by_cronsim(zone, pattern):
    ticks = []
    for tick in CronSim(pattern, BEGIN.astimezone(zone)):
        if tick >= END:
            break
        second = int(tick.timestamp())
        # What falls into a skipped hour comes right after it, each on its own; here it is one tick.
        if not ticks or ticks[-1] != second:
            ticks.append(second)
    return [{"pattern": pattern, "window": [int(BEGIN.timestamp()) + 1, int(END.timestamp())], "ticks": ticks}]


for line in sys.stdin:
    question = json.loads(line)
    zone = zoneinfo.ZoneInfo(question["zone"])
    if "cronsim" in question:
        answer = by_cronsim(zone, question["cronsim"])
    else:
        answer = by_force(zone, question["patterns"])
    print(json.dumps(answer), flush=True)
