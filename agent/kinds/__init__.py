"""The kinds of runs. What an engine's tick calls of each is `agent.engine.services.Kind`."""
