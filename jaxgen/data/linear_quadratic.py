"""A linear-quadratic problem of control as inference: whole trajectories whose distribution is known.

A point in the plane is pushed about. With state s = (place, velocity) and action u, for t = 0 .. T - 1,

    s_{t+1} = A s_t + B u_t + w_t,     w_t ~ N(0, W)
    p(s_{1:T}, u_{0:T-1} | start, goal, c) ~ prod_t N(w_t; 0, W) exp(-c |u_t|^2 / 2) exp(-|place_T - goal|^2 / (2 q^2))

Actions cost effort, c each squared unit, and so does missing the goal: a trajectory is as likely as its cost is low.
(Control as inference; the noise takes part, as if it could be hoped for.) Everything is linear and Gaussian: before the
goal is known the trajectory is an affine function of independent normal draws, and the goal is one more observation of
it, with noise q. So its mean and covariance are known for every start, goal and c, and a draw without the goal becomes
a draw with it by the same gain (Matheron's rule).
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Float64

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.data.gaussians import Gaussian, observed_in_part
from jaxgen.draws import example_keys

STATE, ACTION = 4, 2
"""Numbers of a state (place and velocity in the plane) and of an action (acceleration)."""


class Problem(NamedTuple):
    """Questions to plan for, one per row.

    Attributes:
        start: First state s_0: place and velocity. The axis of length 1 is that of time, along which it is the same.
        goal: Place to be at after the last step.
        log_cost: Natural logarithm of the cost c of effort.
    """

    start: Float32[Array | np.ndarray, "*b 1 4"]
    goal: Float32[Array | np.ndarray, "*b 1 2"]
    log_cost: Float32[Array | np.ndarray, "*b 1"]


@dataclass(frozen=True)
class LinearQuadratic:
    """A point that is pushed about in the plane.

    A trajectory is [T, 6]: row t holds the state s_{t+1} that action t leads to, and the action u_t.

    Args:
        steps: Number T of actions.
        dt: Time from one action to the next.
        noise: Standard deviation of each coordinate of w_t.
        miss: Standard deviation q of the place at the end around the goal, if actions were free.

    Raises:
        ValueError: A number that is not positive.

    Source: Todorov 2008; Levine 2018, "Reinforcement Learning and Control as Probabilistic Inference", section 2.
    """

    steps: int = 16
    dt: float = 0.25
    noise: float = 0.2
    miss: float = 0.2

    def __post_init__(self):
        require.size("steps", self.steps)
        for name in ("dt", "noise", "miss"):
            require.number(name, getattr(self, name), above=0)

    @property
    def event_shape(self) -> tuple[int, int]:
        """Shape [T, 6] of a trajectory."""
        return self.steps, STATE + ACTION

    @property
    def dynamics(self) -> tuple[Float64[np.ndarray, "4 4"], Float64[np.ndarray, "4 2"]]:
        """A and B of a double integrator: places move by the velocity, velocities by the action."""
        eye, none = np.eye(2), np.zeros((2, 2))
        moves = np.block([[eye, self.dt * eye], [none, eye]])
        return moves, np.concatenate([0.5 * self.dt**2 * eye, self.dt * eye])

    def responses(
        self,
    ) -> tuple[Float64[np.ndarray, "d 4"], Float64[np.ndarray, "d u"], Float64[np.ndarray, "d w"]]:
        """The flat trajectory as a linear function of the start, of all actions and of all noise (of unit variance)."""
        moves, pushes = self.dynamics
        from_start = np.zeros((*self.event_shape, STATE))
        from_actions = np.zeros((*self.event_shape, self.steps, ACTION))
        from_noise = np.zeros((*self.event_shape, self.steps, STATE))
        power = np.eye(STATE)
        for t in range(self.steps):  # a push or a kick at time j has acted through t - j further moves at t
            for j in range(self.steps - t):
                from_actions[j + t, :STATE, j] = power @ pushes
                from_noise[j + t, :STATE, j] = self.noise * power
            power = moves @ power
            from_start[t, :STATE] = power
            from_actions[t, STATE:, t] = np.eye(ACTION)
        size = self.steps * (STATE + ACTION)
        return from_start.reshape(size, -1), from_actions.reshape(size, -1), from_noise.reshape(size, -1)

    @property
    def last_place(self) -> np.ndarray:
        """Coordinates of the flat trajectory that hold the place at the end."""
        return (self.steps - 1) * (STATE + ACTION) + np.arange(2)

    def posterior(
        self, start: Float[np.ndarray, "..."], goal: Float[np.ndarray, "..."], log_cost: Float[np.ndarray, "..."]
    ) -> Gaussian:
        """The exact distribution of the flat trajectory for one problem.

        Args:
            start: First state, 4 numbers.
            goal: Place to be at after the last step, 2 numbers.
            log_cost: Natural logarithm of the cost of effort, 1 number.

        Raises:
            ValueError: Another shape, or a value that is not finite.
        """
        start, goal, log_cost = (
            _vector(name, value, size)
            for name, value, size in (("start", start, STATE), ("goal", goal, 2), ("log_cost", log_cost, 1))
        )
        from_start, from_actions, from_noise = self.responses()
        covariance = np.exp(-log_cost[0]) * from_actions @ from_actions.T + from_noise @ from_noise.T
        return observed_in_part(Gaussian(from_start @ start, covariance), self.last_place, goal, self.miss**2)

    def problems(self, key: PRNGKey, num: int) -> Problem:
        """Draw problems: places and goals from N(0, I), velocities from N(0, 1/4 I), log c from U[-1, 1].

        Problem k comes from `fold_in(key, k)`.

        Raises:
            ValueError: num below 1.
        """
        require.size("num", num)

        def draw(key: PRNGKey) -> Problem:
            key_start, key_goal, key_cost = jax.random.split(key, 3)
            spread = jnp.array([[1, 1, 0.5, 0.5]], jnp.float32)
            return Problem(
                start=spread * jax.random.normal(key_start, (1, STATE), jnp.float32),
                goal=jax.random.normal(key_goal, (1, 2), jnp.float32),
                log_cost=jax.random.uniform(key_cost, (1,), jnp.float32, -1, 1),
            )

        return jax.jit(jax.vmap(draw))(example_keys(key, jnp.arange(num, dtype=jnp.int32)))

    def sample(self, key: PRNGKey, problems: Problem) -> Float32[Array, "b steps 6"]:
        """Draw one trajectory for each problem; that of problem k comes from `fold_in(key, k)`.

        A trajectory without a goal is drawn first, and moved by the gain times what it misses the goal by (Matheron).

        Source: Journel & Huijbregts 1978, section VII.A (conditional simulation).
        """
        from_start, from_actions, from_noise = (r.astype(np.float32) for r in self.responses())
        last = self.last_place
        actions_then_last, noise_then_last = from_actions @ from_actions[last].T, from_noise @ from_noise[last].T

        def draw(key: PRNGKey, start: Array, goal: Array, log_cost: Array) -> Array:
            key_actions, key_noise, key_miss = jax.random.split(key, 3)
            effort = jnp.exp(-0.5 * log_cost[0])
            actions = effort * jax.random.normal(key_actions, from_actions.shape[1:], jnp.float32)
            noise = jax.random.normal(key_noise, from_noise.shape[1:], jnp.float32)
            flat = from_start @ start[0] + from_actions @ actions + from_noise @ noise
            cross = effort**2 * actions_then_last + noise_then_last
            miss = jnp.float32(self.miss) * jax.random.normal(key_miss, (2,), jnp.float32)
            within = cross[last] + jnp.float32(self.miss**2) * jnp.eye(2, dtype=jnp.float32)
            return flat + cross @ jnp.linalg.solve(within, goal[0] - flat[last] - miss)

        keys = example_keys(key, jnp.arange(len(problems.start), dtype=jnp.int32))
        x = jax.jit(jax.vmap(draw))(keys, *map(jnp.asarray, problems))
        return x.reshape(len(x), *self.event_shape)


def _vector(name: str, value: np.ndarray, size: int) -> np.ndarray:
    flat = np.asarray(value, np.float64).reshape(-1)
    if flat.shape != (size,) or not np.isfinite(flat).all():
        raise ValueError(f"{name} must be {size} finite numbers, got {value}")
    return flat
