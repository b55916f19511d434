"""The table of a benchmark: medians of ratios with their spread, and the quality of both sides."""
import pathlib
import statistics
import sys

RED, PLAIN = ("\033[31m", "\033[0m") if sys.stdout.isatty() else ("", "")


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "a CPU without a name")


class Table:
    """Figures of both sides, one a round."""

    def __init__(self):
        self.about, self.rows, self.qualities = "", {}, {}

    def add(self, name, unit, peer, ours, theirs, more):
        """A round's figures; `more` is better, or less."""
        row = self.rows.setdefault((name, peer), {"unit": unit, "ours": [], "theirs": [], "ratios": []})
        row["ours"].append(ours)
        row["theirs"].append(theirs)
        row["ratios"].append(ours / theirs if more else theirs / ours)

    def quality(self, name, peer, ours, theirs, spread):
        row = self.qualities.setdefault((name, peer), {"ours": [], "theirs": [], "spread": spread})
        row["ours"].append(ours)
        row["theirs"].append(theirs)

    def worse(self):
        """Whose mean quality is below the peer's by more than seeds explain."""
        return [name for (name, _), row in self.qualities.items()
                if statistics.mean(row["ours"]) < statistics.mean(row["theirs"]) - row["spread"]]

    def is_worse(self):
        return bool(self.worse())

    def markdown(self):
        lines = [f"Training beside the Python tools: {self.about}.", "",
                 "| | ours | peer | times as good |", "|---|---|---|---|"]
        for (name, peer), row in self.rows.items():
            lines.append(f"| {name} ({row['unit']}) | {spread(row['ours'])} | {peer} {spread(row['theirs'])} "
                         f"| **{spread(row['ratios'])}** |")
        lines += ["", "| quality, mean of the rounds' seeds | ours | peer |", "|---|---|---|"]
        for (name, peer), row in self.qualities.items():
            mine, theirs = statistics.mean(row["ours"]), statistics.mean(row["theirs"])
            lines.append(f"| {name} | {mine:.4f} | {peer} {theirs:.4f} |")
        return "\n".join(lines) + "\n"

    def print(self):
        print(self.markdown())
        for name in self.worse():
            print(f"{RED}WORSE than the peer by more than seeds explain: {name}{PLAIN}")

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "training.md").write_text(f"# Training\n{self.markdown()}\n![ratios](training.png)\n")
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
        rows = list(reversed(self.rows.items()))
        figure, axes = pyplot.subplots(figsize=(9, 1 + 0.4 * len(rows)), layout="constrained")
        axes.barh([f"{name}\nbeside {peer}" for (name, peer), _ in rows],
                  [statistics.median(row["ratios"]) for _, row in rows], color="#4a7")
        axes.axvline(1, color="black", linewidth=1)
        axes.set_xlabel(f"times as good as the peer (median; {self.about})", fontsize=7)
        axes.tick_params(labelsize=7)
        figure.savefig(folder / "training.png", dpi=120)
        pyplot.close(figure)


def spread(values):
    middle = statistics.median(values)
    digits = 0 if middle >= 100 else 1 if middle >= 10 else 2
    if len(values) == 1:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"
