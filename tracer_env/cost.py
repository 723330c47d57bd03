"""How many utterances each way of expanding a question generates, in closed form.

All counts are per question, with R rounds of which the first is forced. With ``force_on_unparsed`` more rounds may
be forced, and the counts of full expansion are the most there can be; so they are where texts coincide that paths
with a shared view would otherwise tell apart, and where a team has several voices.
"""

from dataclasses import dataclass

from tracer_env.dialogue import Role, Rules
from tracer_env.errors import ConfigError

MOST_UTTERANCES = 4096  # per question, shared ones counted on every path: 13 rounds fully expanded


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceCount:
    """``always`` utterances, and one more for each of ``sampled`` sampled choices that comes out as SPEAK."""

    always: int
    sampled: int

    @property
    def most(self) -> int:
        """Where every sampled choice is SPEAK."""
        return self.always + self.sampled

    def expected(self, speak_probability: float) -> float:
        """The mean where every sampled choice is SPEAK with this probability."""
        return self.always + speak_probability * self.sampled


def branch_count(rules: Rules) -> int:
    """The leaves of full expansion, and as many spoken turns: 2^(R−1) (16 at R = 5)."""
    return 2 ** (rules.rounds - 1)


def utterance_count(rules: Rules) -> int:
    """Of full expansion: 2^(R−1) (16 at R = 5), and fewer where paths share what was said to the same view.

    With P = (R + 1)/2 proposal rounds and one voice, independent proposals are P, and the k-th of them is reviewed at
    most P − k times: P + P(P − 1)/2 in all (6 at R = 5). Where proposers also revise what was reviewed, every pair of a
    solution and its review is a view: 2^(P + 1) − P − 2 in all (11 at R = 5). Each voice says that much at most.
    """
    if rules.sharing == "prefix":
        return branch_count(rules)
    proposals, voices = rules.max_proposals, len(set(rules.voices)) or 1
    of_voice = 2 ** (proposals + 1) - proposals - 2 if rules.revisions else proposals * (proposals + 1) // 2
    return min(branch_count(rules), voices * of_voice)


def check_expandable(rules: Rules, utterances: int | None = None) -> None:
    """Refuses dialogues that are too long to be expanded.

    Args:
        rules: the shape of the dialogues.
        utterances: the most that a question generates; by default that of full expansion.

    Raises:
        ConfigError: more than ``MOST_UTTERANCES``.
    """
    count = branch_count(rules) if utterances is None else utterances
    if count > MOST_UTTERANCES:
        remedy = "set controllers.expansion: external or " if utterances is None else ""
        raise ConfigError(
            f"rounds: a question of {rules.rounds} rounds generates up to {count:,} utterances when expanded, and "
            f"{MOST_UTTERANCES:,} are the most; {remedy}choose fewer rounds"
        )


def external_count(rules: Rules, player: int) -> UtteranceCount:
    """Of external sampling for ``player``: 2^K, and the SPEAKs among Σ_r 2^(k_r) sampled choices.

    K counts the player's free rounds, r runs over the others' free rounds and k_r counts the player's free rounds
    before r: only the player's choices double the states. Round 1 and the player's own rounds generate
    1 + (1 + 2 + … + 2^(K−1)) = 2^K utterances.
    """
    states, sampled = 1, 0
    for agent, _ in rules.seats[1:]:
        if agent == player:
            states *= 2
        else:
            sampled += states
    return UtteranceCount(always=states, sampled=sampled)


def immediate_count(rules: Rules) -> UtteranceCount:
    """Of the released code's rule: the first proposal and all (R−1)/2 reviews, and the (R−1)/2 proposals played."""
    free = [role for _, role in rules.seats[1:]]
    return UtteranceCount(always=1 + free.count(Role.REVIEWER), sampled=free.count(Role.PROPOSER))
