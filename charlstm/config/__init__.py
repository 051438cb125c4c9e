"""Every setting: its default, its check, its YAML."""

from charlstm.config.settings import Config as Config
