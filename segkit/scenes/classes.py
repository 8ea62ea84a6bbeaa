"""The classes of what is painted, with the label ids of Cityscapes, which KITTI's semantic benchmark shares."""

from enum import IntEnum


class ObjectId(IntEnum):
    """Label ids (``labelIds``) of what these scenes hold.

    Source: cityscapesscripts/helpers/labels.py, which also says what belongs to each class: lane markings to the road,
    kerbs to the pavement, trunks to vegetation.
    """

    EGO_VEHICLE = 1
    STATIC = 4
    ROAD = 7
    SIDEWALK = 8
    PARKING = 9
    RAIL_TRACK = 10
    BUILDING = 11
    WALL = 12
    POLE = 17
    TRAFFIC_SIGN = 20
    VEGETATION = 21
    TERRAIN = 22
    SKY = 23
    PERSON = 24
    RIDER = 25
    CAR = 26
    TRUCK = 27
    BICYCLE = 33


COUNTED = (ObjectId.PERSON, ObjectId.RIDER, ObjectId.CAR, ObjectId.TRUCK, ObjectId.BICYCLE)
"""Classes whose things have instance numbers."""
