# SPDX-License-Identifier: Apache-2.0
"""VizCounter and VizObject: objects whose attributes are recorded when they change."""
import functools

_settings = ("trigger_on_change", "include_attributes", "exclude_attributes")


class _Watched:
    def __init__(self, tracer, name="", **settings):
        put = self.__dict__.__setitem__
        put("_tracer", tracer)
        put("_name", name)
        put("_config", {"trigger_on_change": True, "include_attributes": [],
                        "exclude_attributes": []})
        for key in _settings:
            if key in settings:
                self._config[key] = settings[key]

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name.startswith("_") or not self._config["trigger_on_change"]:
            return
        if self._wants(name):
            self._log()

    def _wants(self, name):
        if self._config["include_attributes"]:
            return name in self._config["include_attributes"]
        return name not in self._config["exclude_attributes"]

    def _values(self):
        values = {}
        for name in self._config["include_attributes"] or dir(self):
            if not name.startswith("_") and self._wants(name):
                value = getattr(self, name, None)
                if value is not None and not callable(value):
                    values[name] = value
        return values

    def config(self, key, value):
        if key not in _settings:
            raise ValueError("No config named %s" % key)
        self._config[key] = value

    def log(self):
        self._log()

    @staticmethod
    def triggerlog(method=None, when="after"):
        if when not in ("after", "before", "both"):
            raise ValueError("when must be 'after', 'before' or 'both', not %r" % (when,))

        def decorate(func):
            @functools.wraps(func)
            def wrapper(self, *args, **kwargs):
                if when != "after":
                    self._log()
                try:
                    return func(self, *args, **kwargs)
                finally:
                    if when != "before":
                        self._log()
            return wrapper
        return decorate(method) if method else decorate


class VizCounter(_Watched):
    """Numbers over time."""

    def _log(self):
        if self._tracer:
            values = self._values()
            for value in values.values():
                if type(value) not in (int, float):
                    raise ValueError("a counter takes numbers, not %r" % (value,))
            self._tracer.add_counter(self._name, values)


class VizObject(_Watched):
    """A state over time, for as long as the object lives."""

    def __init__(self, tracer, name="", **settings):
        super().__init__(tracer, name, **settings)
        self.__dict__["_id"] = str(id(self))
        if tracer:
            tracer.add_object("N", self._id, name)

    def __del__(self):
        tracer = self.__dict__.get("_tracer")
        if tracer:
            tracer.add_object("D", self._id, self._name)

    def _log(self):
        if self._tracer:
            plain = {name: value for name, value in self._values().items()
                     if type(value) in (list, dict, int, float, str)}
            self._tracer.add_object("O", self._id, self._name, {"snapshot": plain})
